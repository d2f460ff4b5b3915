//! What addresses become, and what is refused with which advice.

use super::{Host, HostPattern, Latency, Protocol};
use crate::config::tests::example_with;
use crate::config::{Config, ConfigError, Destination};

fn read(ingest: &str) -> Result<Config, ConfigError> {
    example_with(&format!("[ingest]\n{ingest}\n"))
}

#[track_caller]
fn one(ingest: &str) -> Destination {
    read(ingest).unwrap().ingest.first
}

/// Each refusal says what is wrong and what would be right.
#[track_caller]
fn refused(ingest: &str, said: &[&str]) {
    let error = read(ingest).map(|config| config.ingest).expect_err(ingest).to_string();
    for said in said {
        assert!(error.contains(said), "{ingest}: {error}");
    }
}

/// Application and stream of an RTMP address.
#[track_caller]
fn rtmp(ingest: &str) -> (String, String) {
    let Protocol::Rtmp(rtmp) = one(ingest).protocol else { panic!("{ingest} is no RTMP") };
    (rtmp.application.literal().unwrap(), rtmp.stream.literal().unwrap())
}

#[test]
fn an_srt_address_that_would_listen_is_refused() {
    for query in [
        "mode=listener&localaddress=0.0.0.0",
        "mode=rendezvous",
        "MODE=Listener",
        "m%6fde=listener",
        "mode=%6cistener",
        "localaddress=0.0.0.0",
        "localport=9000",
        "adapter=eth0",
        "mode=caller&mode=listener",
        "streamid=x&streamid=y",
        "mode=",
    ] {
        refused(&format!("url = \"srt://127.0.0.1:9000?{query}\""), &["tallybox.toml:2:7: "]);
    }
    refused("url = \"srt://127.0.0.1:9?steamid=x\"", &["\"steamid\" is not known", "did you mean \"streamid\"?"]);
    refused("url = \"srt://127.0.0.1:9/live\"", &["has no path"]);
    refused("url = \"srt://u@127.0.0.1:9\"", &["has no user"]);
    assert!(read("url = \"srt://127.0.0.1:9?mode=caller&transtype=live\"").is_ok());
}

#[test]
fn a_stream_id_is_taken_as_servers_document_it() {
    let id = |ingest: &str| {
        let Protocol::Srt(srt) = one(ingest).protocol else { panic!("{ingest}") };
        srt.stream_id.unwrap().literal().unwrap()
    };
    for url in [
        "srt://127.0.0.1:9?streamid=#!::r=live/x,m=publish",
        "srt://127.0.0.1:9/?streamid=#!::r=live/x,m=publish&latency=200",
        "srt://127.0.0.1:9?streamid=%23!::r=live/x,m=publish",
        "srt://127.0.0.1:9?streamid=%23%21%3A%3Ar%3Dlive%2Fx%2Cm%3Dpublish",
        "srt://127.0.0.1:9?srt_streamid=#!::r%3dlive/x,m=publish",
    ] {
        assert_eq!(id(&format!("url = \"{url}\"")), "#!::r=live/x,m=publish", "{url}");
    }
    assert_eq!(id("url = \"srt://127.0.0.1:9?streamid=publish:a+b%2541\""), "publish:a+b%41");
    assert_eq!(id("url = \"srt://127.0.0.1:9\"\nstreamid = \"a%23b&c\""), "a%23b&c");
    refused("url = \"srt://127.0.0.1:9?streamid=a%2\"", &["two hexadecimal digits", "write %25"]);
    refused(
        "url = \"srt://127.0.0.1:9?streamid=a\"\nstreamid = \"b\"",
        &["tallybox.toml:3:12: streamid is in the URL"],
    );
    refused(&format!("url = \"srt://127.0.0.1:9\"\nstreamid = \"{}\"", "x".repeat(513)), &["513 bytes", "512 at most"]);
}

#[test]
fn numbers_have_a_unit_and_a_range() {
    refused("url = \"srt://127.0.0.1:9?latency=200000\"", &["latency=200000", "milliseconds", "from 20 to 8000"]);
    refused("url = \"srt://127.0.0.1:9?latency=2s\"", &["no whole number", "milliseconds"]);
    refused("url = \"srt://127.0.0.1:9?latency=-1\"", &["no whole number"]);
    refused("url = \"srt://127.0.0.1:9?pbkeylen=17\"", &["17", "16, 24, 32"]);
    refused("url = \"srt://127.0.0.1:9?pbkeylen=0\"", &["pbkeylen=0", "bytes from 16 to 32"]);
    refused("url = \"srt://127.0.0.1:9?pkt_size=100\"", &["bytes from 188 to 1456"]);
    for port in ["0", "65536", "99999999999"] {
        refused(&format!("url = \"rtmp://127.0.0.1:{port}/live/k\""), &["does not exist", "from 1 to 65535"]);
    }
    for passphrase in ["123456789", &"x".repeat(80)] {
        let said = ["the passphrase has ", "10 to 79"];
        refused(&format!("url = \"srt://127.0.0.1:9?passphrase={passphrase}\""), &said);
        refused(&format!("url = \"srt://127.0.0.1:9\"\npassphrase = \"{passphrase}\""), &said);
    }
    let Protocol::Srt(srt) = one("url = \"srt://127.0.0.1:9?latency=250&pbkeylen=32\"").protocol else { panic!() };
    assert_eq!((srt.latency, srt.key_length), (Latency::Fixed(core::time::Duration::from_millis(250)), 32));
}

#[test]
fn rtmp_addresses_are_taken_apart_as_obs_and_ffmpeg_do() {
    for (url, application, stream) in [
        ("/live/key", "live", "key"),
        ("/live/key?a=b&c=d", "live", "key?a=b&c=d"),
        ("/app/?streamname=x&key=y", "app", "?streamname=x&key=y"),
        ("/live2?backup=1/KEY", "live2?backup=1", "KEY"),
        ("/live?vhost=a.cn/KEY?b=/c", "live?vhost=a.cn", "KEY?b=/c"),
        ("/live?cb=http://x/KEY", "live?cb=http://x", "KEY"),
        ("/live/key?cb=http://x/y", "live", "key?cb=http://x/y"),
        ("/live/key?path=/a/b", "live", "key?path=/a/b"),
        ("/app/instance/key", "app/instance", "key"),
        ("/app/instance/?key=x", "app/instance", "?key=x"),
        ("/app/_definst_/ab/cd==", "app/_definst_", "ab/cd=="),
        ("/vod/mp4:folder/name", "vod", "mp4:folder/name"),
        ("/live//key", "live", "key"),
        ("//live/key", "live", "key"),
        ("/live/key#1", "live", "key#1"),
        ("/live/a%2Fb", "live", "a%2Fb"),
        ("/live/[key]|{x}", "live", "[key]|{x}"),
    ] {
        let found = rtmp(&format!("url = \"rtmp://127.0.0.1{url}\""));
        assert_eq!((found.0.as_str(), found.1.as_str()), (application, stream), "{url}");
    }
    for (url, key, application) in [
        ("/live", "ab/cd==", "live"),
        ("/live/", "?streamname=x&key=y", "live"),
        ("/live2?backup=1", "k", "live2?backup=1"),
        ("/live?cb=a/", "k%2F#1", "live?cb=a/"),
        ("/app/instance/", "k", "app/instance"),
    ] {
        let found = rtmp(&format!("url = \"rtmp://127.0.0.1{url}\"\nstream-key = \"{key}\""));
        assert_eq!((found.0.as_str(), found.1.as_str()), (application, key), "{url}");
    }
    for url in ["", "/", "/live", "/live?a=b", "/live?a=b/"] {
        refused(&format!("url = \"rtmp://127.0.0.1{url}\""), &["needs an application and a stream key"]);
    }
    refused("url = \"rtmp://127.0.0.1/live/\"", &["the stream key is missing", "stream-key"]);
    refused("url = \"rtmp://127.0.0.1/live/key/\"", &["the last part of the RTMP URL is empty"]);
    refused("url = \"rtmp://127.0.0.1/\"\nstream-key = \"k\"", &["needs an application"]);
    refused("url = \"srt://127.0.0.1:9\"\nstream-key = \"k\"", &["stream-key is for rtmps:// and rtmp:// only"]);
    let notes = read("url = \"rtmp://127.0.0.1/live/ab/cd\"").unwrap().warnings;
    assert!(notes[0].to_string().contains("application and instance"), "{notes:?}");
    assert!(read("url = \"rtmp://127.0.0.1/live/ab/${K}\"").unwrap().warnings.is_empty());
}

#[test]
fn hosts_are_normalised_once_or_refused() {
    let host = |text: &str| Host::parse(text).map(|host| host.to_string());
    for (text, normal) in [
        ("Push.Example.CN", "push.example.cn"),
        ("push.example.cn.", "push.example.cn"),
        ("推流.例子.中国", "xn--jzup7s.xn--fsqu00a.xn--fiqs8s"),
        ("push。example．cn", "push.example.cn"),
        ("ＰＵＳＨ.example.cn", "push.example.cn"),
        ("my_server", "my_server"),
        ("10.0.0.1", "10.0.0.1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
    ] {
        assert_eq!(host(text).unwrap(), normal, "{text}");
    }
    for text in [
        "",
        ".",
        "a..b",
        "a b",
        "a\u{200b}b",
        "a\u{a0}",
        "a\u{ad}b",
        "*",
        "a*",
        "a/b",
        "a@b",
        "a\\b",
        "a%2eb",
        "a:b",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "[::1",
        "[::1%eth0]",
        "fe80::1%1",
        "a\"b",
        "a$b",
        "a.b..",
    ] {
        assert!(host(text).is_err(), "{text:?} became {:?}", host(text));
    }
    let (long, name) = ("a".repeat(64), "a.".repeat(130));
    assert!(host(&long).is_err() && host(&name).is_err());
    let all = |text: &str| HostPattern::parse(text);
    assert!(all("*.例子.中国").unwrap().allows(&Host::parse("x.xn--fsqu00a.xn--fiqs8s").unwrap()));
    assert!(all("[::1]").unwrap().allows(&Host::parse("0:0::1").unwrap()));
    assert!(all("Push.Example.cn.").unwrap().allows(&Host::parse("push.example.cn").unwrap()));
    assert!(
        ["*", "a/b", "*.*.cn", "*.10.0.0.1", "rtmp://a.cn", "a.cn:1935", "a.cn ", ""]
            .iter()
            .all(|text| all(text).is_err())
    );
}

#[test]
fn what_cannot_be_seen_in_an_address_is_told() {
    for (text, said) in [
        (" rtmp://127.0.0.1/live/k", "a space as character 1"),
        ("rtmp://127.0.0.1/live/k ", "a space as character 24"),
        ("rtmp://127.0.0.1/live/k\\t", "a tab"),
        ("rtmp://127.0.0.1/live/k\\n", "the character U+000A"),
        ("rtmp://127.0.0.1/live/\u{200b}k", "without width (U+200B)"),
        ("rtmp://127.0.0.1/live/\u{a0}k", "a no-break space"),
        ("\u{feff}rtmp://127.0.0.1/live/k", "a byte order mark"),
        ("rtmp://127.0.0.1/live/k\u{202e}", "U+202E"),
    ] {
        refused(&format!("url = \"{text}\""), &[said]);
    }
    for (text, said) in [
        ("rtmp://2001:db8::1/live/k", "in brackets"),
        ("rtmp://2001:db8::1:1935/live/k", "in brackets"),
        ("rtmp://[2001:db8::1/live/k", "in brackets"),
        ("rtmp://127.0.0.1:/live/k", "a port from 1 to 65535"),
        ("rtmp://user:a/b@127.0.0.1/live/k", "where a password has /"),
        ("rtmp:/127.0.0.1/live/k", "does not begin with a scheme"),
        ("rtmp://@127.0.0.1/live/k", "no user name"),
    ] {
        refused(&format!("url = \"{text}\""), &[said]);
    }
    // A password that is cut off, and a key in the place of its name, are not repeated.
    for text in [
        "rtmp://user:hush-1:x/y@127.0.0.1/live/k",
        "rtmp://user:987654321/y@127.0.0.1/live/k",
        "rtmp://hush_1!/y@127.0.0.1/live/k",
        "rtmp://127.0.0.1/live/${hush-1}",
    ] {
        let error = read(&format!("url = \"{text}\"")).unwrap_err().to_string();
        assert!(!error.contains("hush") && !error.contains("987654321"), "{error}");
    }
    // What stands before the last "@" is a user's name and never a host.
    assert_eq!(one("url = \"rtmp://a.cn\\\\@evil.cn@b.cn/live/k\"").host.as_str(), "b.cn");
    let to = one("url = \"RTMP://[2001:DB8::1]/live/k\"");
    assert_eq!((to.origin().as_str(), to.host.as_str(), to.port), ("rtmp://[2001:db8::1]", "2001:db8::1", 1935));
}

#[test]
fn a_whip_endpoint_is_what_was_written() {
    let endpoint = |url: &str| {
        let to = one(&format!("url = \"{url}\""));
        let Protocol::Whip(whip) = &to.protocol else { panic!("{url}") };
        to.endpoint(whip).unwrap().expose().to_owned()
    };
    for (url, whole) in [
        ("https://A.cn/whip/x?a=b", "https://a.cn/whip/x?a=b"),
        ("https://a.cn", "https://a.cn/"),
        ("https://a.cn?x=1", "https://a.cn/?x=1"),
        ("http://127.0.0.1:8080/推/%2Fx", "http://127.0.0.1:8080/%E6%8E%A8/%2Fx"),
    ] {
        assert_eq!(endpoint(url), whole);
        assert_eq!(url::Url::parse(whole).unwrap().as_str(), whole);
    }
    for url in [
        "https://u:p@a.cn/x",
        "https://a.cn/x#y",
        "https://a.cn/a/../b",
        "https://a.cn/a/%2e%2E/b",
        "https://a.cn/a\\\\b",
    ] {
        refused(&format!("url = \"{url}\""), &["a WHIP URL has"]);
    }
}
