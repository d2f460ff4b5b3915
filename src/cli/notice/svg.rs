//! A card as SVG, with text that stays text.

use core::fmt::Write;

use super::page::{HEIGHT, Mark, WIDTH};
use crate::text::Language;

/// Fonts with Helvetica's widths first, then those that have Chinese signs.
const FONTS: &str = "Arial, Helvetica, 'Liberation Sans', 'Noto Sans CJK SC', 'Source Han Sans SC', 'Microsoft YaHei', 'PingFang SC', \
     sans-serif";

pub(super) fn draw(title: &str, language: Language, marks: &[Mark]) -> String {
    let code = match language {
        Language::En => "en",
        Language::Zh => "zh-CN",
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}mm\" height=\"{HEIGHT}mm\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" xml:lang=\"{code}\" font-family=\"{FONTS}\">\n<title>{}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n",
        escaped(title)
    );
    for mark in marks {
        // Writing to a String cannot fail.
        let _ = match mark {
            Mark::Bar { x, y, width, height, colour } => {
                let [red, green, blue] = colour.rgb();
                writeln!(
                    svg,
                    "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
                     fill=\"#{red:02x}{green:02x}{blue:02x}\"/>"
                )
            }
            Mark::Text { x, y, size, bold, text } => {
                let weight = if *bold { " font-weight=\"bold\"" } else { "" };
                let text = escaped(text);
                writeln!(svg, "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size:.2}\"{weight}>{text}</text>")
            }
        };
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_cannot_write_into_the_picture() {
        let text = "<script>&\"'".to_owned();
        let mark = Mark::Text { x: 1.0, y: 2.0, size: 3.0, bold: true, text };
        let svg = draw("a <b>", Language::Zh, &[mark]);
        assert!(svg.contains("&lt;script&gt;&amp;&quot;'") && !svg.contains("<script"), "{svg}");
        assert!(svg.contains("xml:lang=\"zh-CN\"") && svg.contains("<title>a &lt;b&gt;</title>"), "{svg}");
    }
}
