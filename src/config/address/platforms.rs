//! Addresses as platforms publish them (`platforms.txt`), and what is sent for each.

use super::Protocol;
use crate::config::tests::example_with;

#[test]
fn addresses_of_platforms_become_what_their_documents_mean() {
    let mut seen = [0; 3];
    for block in include_str!("platforms.txt").split("\n\n").skip(1) {
        let (who, rest) = block.split_once('\n').unwrap();
        let (ingest, wanted) = rest.split_once("\n=").unwrap();
        let wanted: Vec<_> = wanted.split_whitespace().collect();
        let read = example_with(&format!("[ingest]\n{ingest}\n"));
        let to = read.unwrap_or_else(|error| panic!("{who}: {error}")).ingest.first;
        let server = format!("{}:{}", to.host, to.port);
        match &to.protocol {
            Protocol::Rtmp(rtmp) => {
                let (application, stream) = (rtmp.application.resolve().unwrap(), rtmp.stream.resolve().unwrap());
                let tc_url = to.tc_url(&application);
                assert_eq!([&server, application.expose(), stream.expose(), tc_url.expose()], wanted[..], "{who}");
                seen[0] += 1;
            }
            Protocol::Srt(srt) => {
                let text = |template: &Option<_>| template.as_ref().map_or("-".to_owned(), literal);
                assert_eq!([server, text(&srt.stream_id), text(&srt.passphrase)], wanted[..], "{who}");
                seen[1] += 1;
            }
            Protocol::Whip(whip) => {
                assert_eq!(format!("url = \"{}\"", to.endpoint(whip).unwrap().expose()), ingest, "{who}");
                seen[2] += 1;
            }
        }
    }
    assert_eq!(seen, [46, 9, 6]);
}

fn literal(template: &crate::config::SecretTemplate) -> String {
    template.literal().unwrap()
}
