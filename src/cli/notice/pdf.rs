//! A card as PDF. It has no font in it: Helvetica is every reader's own, and for Chinese signs readers take the
//! machine's font for `STSong-Light`, as PDF's standard character collections have it.

use pdf_writer::types::{CidFontType, FontFlags, SystemInfo};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use super::page::{HEIGHT, Mark, WIDTH};
use crate::text::Language;

/// Points in a millimetre.
const POINTS: f64 = 72.0 / 25.4;

const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const PAGE: Ref = Ref::new(3);
const CONTENT: Ref = Ref::new(4);
const PLAIN: Ref = Ref::new(5);
const BOLD: Ref = Ref::new(6);
const CHINESE: Ref = Ref::new(7);
const SIGNS: Ref = Ref::new(8);
const DESCRIPTOR: Ref = Ref::new(9);
const INFO: Ref = Ref::new(10);

/// What a run of letters is set in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Font {
    Latin,
    Chinese,
}

pub(super) fn draw(title: &str, language: Language, marks: &[Mark]) -> Vec<u8> {
    let mut pdf = Pdf::new();
    let code = match language {
        Language::En => "en",
        Language::Zh => "zh-CN",
    };
    pdf.catalog(CATALOG).pages(PAGES).lang(TextStr(code));
    pdf.document_info(INFO).title(TextStr(title));
    pdf.pages(PAGES).kids([PAGE]).count(1);
    let mut page = pdf.page(PAGE);
    page.parent(PAGES).media_box(Rect::new(0.0, 0.0, points(WIDTH), points(HEIGHT))).contents(CONTENT);
    let mut resources = page.resources();
    resources.fonts().pair(Name(b"P"), PLAIN).pair(Name(b"B"), BOLD).pair(Name(b"C"), CHINESE);
    resources.finish();
    page.finish();
    pdf.type1_font(PLAIN).base_font(Name(b"Helvetica")).encoding_predefined(Name(b"WinAnsiEncoding"));
    pdf.type1_font(BOLD).base_font(Name(b"Helvetica-Bold")).encoding_predefined(Name(b"WinAnsiEncoding"));
    chinese(&mut pdf);
    let content = content(marks);
    pdf.stream(CONTENT, &content);
    pdf.finish()
}

/// The font of the collection Adobe-GB1: neither its outlines nor its widths are in the file.
fn chinese(pdf: &mut Pdf) {
    pdf.type0_font(CHINESE)
        .base_font(Name(b"STSong-Light-UniGB-UTF16-H"))
        .encoding_predefined(Name(b"UniGB-UTF16-H"))
        .descendant_font(SIGNS);
    pdf.cid_font(SIGNS)
        .subtype(CidFontType::Type0)
        .base_font(Name(b"STSong-Light"))
        .system_info(SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"GB1"), supplement: 4 })
        .font_descriptor(DESCRIPTOR)
        .default_width(1000.0);
    // Adobe's figures for this font.
    pdf.font_descriptor(DESCRIPTOR)
        .name(Name(b"STSong-Light"))
        .flags(FontFlags::SERIF | FontFlags::SYMBOLIC)
        .bbox(Rect::new(-25.0, -254.0, 1000.0, 880.0))
        .italic_angle(0.0)
        .ascent(880.0)
        .descent(-120.0)
        .cap_height(880.0)
        .stem_v(93.0);
}

fn content(marks: &[Mark]) -> Vec<u8> {
    let mut content = Content::new();
    for mark in marks {
        match mark {
            Mark::Bar { x, y, width, height, colour } => {
                let [red, green, blue] = colour.rgb().map(|part| f32::from(part) / 255.0);
                content.set_fill_rgb(red, green, blue);
                content.rect(points(*x), points(HEIGHT - y - height), points(*width), points(*height));
                content.fill_nonzero();
            }
            Mark::Text { x, y, size, bold, text } => {
                content.set_fill_gray(0.0);
                content.begin_text();
                content.next_line(points(*x), points(HEIGHT - y));
                for (font, run) in runs(text) {
                    let name: &[u8] = match (font, bold) {
                        (Font::Chinese, _) => b"C",
                        (Font::Latin, true) => b"B",
                        (Font::Latin, false) => b"P",
                    };
                    content.set_font(Name(name), points(*size));
                    content.show(Str(&encoded(font, &run)));
                }
                content.end_text();
            }
        }
    }
    content.finish().to_vec()
}

/// What one font can show: Latin-1, and all the rest.
fn runs(text: &str) -> Vec<(Font, String)> {
    let mut all: Vec<(Font, String)> = Vec::new();
    for letter in text.chars() {
        let is_latin = matches!(letter, ' '..='~' | '\u{a0}'..='\u{ff}');
        let font = if is_latin { Font::Latin } else { Font::Chinese };
        match all.last_mut() {
            Some((known, run)) if *known == font => run.push(letter),
            Some(_) | None => all.push((font, letter.to_string())),
        }
    }
    all
}

fn encoded(font: Font, run: &str) -> Vec<u8> {
    match font {
        Font::Latin => run.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect(),
        Font::Chinese => run.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    }
}

/// PDF counts in single precision; a page's millimetres lose nothing that is seen.
#[allow(clippy::cast_possible_truncation)]
fn points(millimetres: f64) -> f32 {
    (millimetres * POINTS) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_set_in_runs_of_one_font() {
        let said = runs("请联系 a@example.cn, Ü");
        assert_eq!(said.iter().map(|(_, run)| run.as_str()).collect::<Vec<_>>(), ["请联系", " a@example.cn, Ü"]);
        assert_eq!(encoded(Font::Chinese, "请"), [0x8b, 0xf7]);
        assert_eq!(encoded(Font::Latin, "aÜ"), [b'a', 0xdc]);
    }

    #[test]
    fn a_document_is_small_and_whole() {
        let mark = Mark::Text { x: 1.0, y: 2.0, size: 11.3, bold: true, text: "H 请".to_owned() };
        let pdf = draw("卡", Language::Zh, &[mark]);
        assert!(pdf.starts_with(b"%PDF-1.") && pdf.ends_with(b"%%EOF") && pdf.len() < 3000, "{}", pdf.len());
    }
}
