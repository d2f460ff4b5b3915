//! What doctor says of machines that are not here: their files, in the formats of kernel and firmware, below a root.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::{Program, free_port, wait_until};

/// A machine's files.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.write(files);
        this
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// A Raspberry Pi 4 on which nothing is wrong.
    fn pi4() -> Self {
        Self::new(&[
            ("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
            ("proc/sys/kernel/osrelease", "6.12.25+rpt-rpi-v8\n"),
            ("proc/meminfo", "MemTotal:        3884328 kB\nMemFree:         3013412 kB\n"),
            ("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n"),
            ("sys/class/thermal/thermal_zone0/temp", "51608\n"),
            (
                "boot/firmware/config.txt",
                "# as it comes\ndtparam=audio=on\ncamera_auto_detect=1\ndtoverlay=vc4-kms-v3d\n[cm4]\notg_mode=1\n[all]\n",
            ),
            (
                "dev/kmsg",
                "6,310,4718280,-;bcm2835_mmal_vchiq: module is from the staging directory, the quality is unknown, you have been warned.\n",
            ),
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/bash\ntallybox-guard:x:996:996::/var/lib/tallybox:/usr/sbin/nologin\ntallybox-capture:x:994:994::/:/usr/sbin/nologin\n",
            ),
            ("etc/group", "root:x:0:\naudio:x:29:pi\nvideo:x:44:pi\ngpio:x:993:pi\n"),
            ("usr/lib/systemd/system/tallybox-guard.service", include_str!("../../systemd/tallybox-guard.service")),
            (
                "usr/lib/systemd/system/tallybox-capture@.service",
                include_str!("../../systemd/tallybox-capture@.service"),
            ),
            ("sys/block/mmcblk0/device/type", "MMC\n"),
            ("sys/block/mmcblk0/device/name", "DG4008\n"),
            ("sys/block/mmcblk0/device/life_time", "0x01 0x02\n"),
            ("sys/block/mmcblk0/device/pre_eol_info", "0x01\n"),
            ("sys/fs/ext4/mmcblk0p2/errors_count", "0\n"),
            ("run/systemd/timesync/synchronized", ""),
            ("etc/resolv.conf", "# by NetworkManager\nnameserver 192.0.2.53\n"),
            (
                "proc/net/route",
                "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\nwlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\neth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n",
            ),
            ("sys/class/net/eth0/mtu", "1500\n"),
            ("sys/class/net/eth0/duplex", "full\n"),
            ("sys/class/net/wlan0/mtu", "1500\n"),
        ])
    }

    fn doctor(&self, shop: &TestBox) -> Value {
        let root = self.0.path().to_str().unwrap();
        let output = shop.call(&["doctor", "--json", "--root", root]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }
}

/// A box that wants a real camera, microphone and button, and a server that has a name.
fn shop(video: &str) -> TestBox {
    let shop = TestBox::new(&BoxConfig {
        ingest: "rtmps://no-such-host.invalid/live/k".to_owned(),
        video: video.to_owned(),
        audio: "source = \"alsa\"".to_owned(),
        ..BoxConfig::default()
    });
    let text = std::fs::read_to_string(&shop.config).unwrap().replace("\"sim\"", "\"rppal\"");
    std::fs::write(&shop.config, text).unwrap();
    shop
}

#[track_caller]
fn says(rows: &Value, check: &str, verdict: &str, found: &str, advice: &str) {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let all: Vec<&Value> = rows.as_array().unwrap().iter().filter(|row| row["check"] == check).collect();
    let fits = |row: &&&Value| {
        row["verdict"] == verdict && text(row, "found").contains(found) && text(row, "advice").contains(advice)
    };
    assert!(all.iter().any(|row| fits(&row)), "{check} {verdict} {found:?} {advice:?}: {all:#?}");
}

#[test]
fn a_sound_pi_4_is_said_to_be_sound() {
    let rows = Machine::pi4().doctor(&shop("source = \"libcamera\""));
    for (check, found) in [
        ("board", "Raspberry Pi 4 Model B Rev 1.4: encodes in hardware up to 1920x1080"),
        ("kernel", "6.12.25+rpt-rpi-v8; its log tells no trouble"),
        ("power", "no under-voltage"),
        ("heat", "52 °C"),
        ("boot", "camera modules are detected; overlays: vc4-kms-v3d"),
        ("memory-split", "76 MiB"),
        ("groups", "tallybox-guard: gpio; tallybox-capture: video, audio"),
        ("wear", "mmcblk0, MMC DG4008: at most 20 %"),
        ("clock", "kept by systemd-timesyncd"),
        ("network", "eth0, MTU 1500"),
        ("dns", "192.0.2.53"),
    ] {
        says(&rows, check, "ok", found, "");
    }
    // The form is stable.
    for row in rows.as_array().unwrap() {
        let mut keys: Vec<&String> = row.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["advice", "check", "found", "verdict"]);
    }
}

#[test]
fn each_trouble_of_a_pi_has_its_advice() {
    let machine = Machine::pi4();
    machine.write(&[
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n"),
        ("sys/class/thermal/thermal_zone0/temp", "84200\n"),
        ("boot/firmware/config.txt", "start_x=1\n[pi4]\ngpu_mem=16\n[pi5]\ngpu_mem=128\n"),
        ("dev/kmsg", "4,902,88123456,-;bcm2835_mmal_vchiq: timed out waiting for sync completion\n"),
        ("etc/group", "root:x:0:\naudio:x:29:pi\nvideo:x:44:pi\n"),
        ("usr/lib/systemd/system/tallybox-capture@.service", "[Service]\nSupplementaryGroups=video\n"),
        ("sys/block/mmcblk0/device/life_time", "0x0b 0x03\n"),
        ("sys/fs/ext4/mmcblk0p2/errors_count", "7\n"),
        ("sys/class/net/eth0/mtu", "1492\n"),
        ("etc/resolv.conf", "search example.cn\n"),
    ]);
    std::fs::remove_file(machine.0.path().join("run/systemd/timesync/synchronized")).unwrap();
    let rows = machine.doctor(&shop("source = \"libcamera\"\nwidth = 1920\nheight = 1200"));
    for (check, verdict, found, advice) in [
        ("board", "fail", "1920x1200 at 30 frames per second is more", "width = 1920, height = 1080"),
        ("power", "fail", "now: under-voltage, throttled (0x50005)", "5.1 V"),
        ("heat", "warn", "84 °C", "heat sink"),
        ("boot", "warn", "start_x=1", "camera_auto_detect=1"),
        ("memory-split", "fail", "gpu_mem=16: the firmware starts without its encoder", "gpu_mem=76"),
        ("kernel", "fail", "the encoder is stuck", "restart the box"),
        ("groups", "fail", "", "groupadd --system gpio; tallybox-capture is not in audio: usermod -aG audio"),
        ("wear", "fail", "at the end of its life", "ledger export"),
        ("wear", "fail", "errors in the file system on mmcblk0p2", "fsck"),
        ("clock", "warn", "nobody keeps it", "timedatectl"),
        ("network", "warn", "eth0, MTU 1492", "PPPoE"),
        ("dns", "fail", "no name server", "DHCP"),
    ] {
        says(&rows, check, verdict, found, advice);
    }
    machine.write(&[
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n"),
        ("boot/firmware/config.txt", "gpu_mem=48\n"),
        ("dev/kmsg", "4,902,88123456,-;bcm2835-codec bcm2835-codec: bcm2835_codec_start_streaming: Failed enabling i/p port, ret -3\n"),
        ("sys/block/mmcblk0/device/life_time", "0x09 0x03\n"),
        ("proc/net/route", "Iface\tDestination\n"),
    ]);
    let rows = machine.doctor(&shop("source = \"libcamera\"\nfps = 60"));
    says(&rows, "power", "warn", "since it started: under-voltage, throttled", "5.1 V");
    says(&rows, "boot", "fail", "neither detected nor named", "dtoverlay=");
    says(&rows, "memory-split", "warn", "gpu_mem=48", "gpu_mem=76");
    says(&rows, "kernel", "fail", "refused to start", "memory-split");
    says(&rows, "wear", "warn", "90 % of its life", "replace it");
    says(&rows, "network", "fail", "no default route", "cable");
    says(&rows, "board", "ok", "encodes in hardware", "");
}

#[test]
fn boards_differ() {
    let machine = Machine::pi4();
    machine.write(&[
        ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
        ("boot/firmware/config.txt", "include cameras.txt\n[pi4]\ndtoverlay=imx219\n"),
        ("boot/firmware/cameras.txt", "[pi5]\ndtoverlay=imx708,cam0\n"),
        ("sys/block/mmcblk0/device/type", "SD\n"),
    ]);
    for file in ["life_time", "pre_eol_info"] {
        std::fs::remove_file(machine.0.path().join("sys/block/mmcblk0/device").join(file)).unwrap();
    }
    let rows = machine.doctor(&shop("source = \"libcamera\"\nencoder = \"v4l2h264enc\""));
    says(&rows, "board", "fail", "it has no H.264 encoder", "encoder = \"auto\"");
    says(&rows, "boot", "ok", "camera module imx708,cam0", "");
    says(&rows, "wear", "ok", "SD DG4008: tells nothing of its wear", "");
    assert!(!rows.to_string().contains("memory-split"), "a Pi 5's memory is not split");
    let rows = machine.doctor(&shop(""));
    says(&rows, "board", "ok", "encodes in software", "");

    machine.write(&[
        ("proc/device-tree/model", "Raspberry Pi Zero 2 W Rev 1.0\0"),
        ("proc/meminfo", "MemTotal:         427084 kB\n"),
        ("boot/firmware/config.txt", "gpu_mem_1024=16\ngpu_mem_512=96\ngpu_mem=16\n"),
        ("run/chrony/chronyd.pid", "411\n"),
        ("sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
        ("sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
        ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n"),
    ]);
    for file in ["run/systemd/timesync/synchronized", "sys/devices/platform/soc/soc:firmware/get_throttled"] {
        std::fs::remove_file(machine.0.path().join(file)).unwrap();
    }
    let rows = machine.doctor(&shop("width = 1920\nheight = 1080"));
    says(&rows, "board", "warn", "512 MiB", "width = 1280");
    says(&rows, "memory-split", "ok", "96 MiB", "");
    says(&rows, "power", "fail", "under-voltage", "5.1 V");
    says(&rows, "clock", "warn", "chronyd runs", "chronyc sources");
    let rows = machine.doctor(&shop("encoder = \"x264enc\""));
    says(&rows, "board", "warn", "sets one in software", "\"auto\"");
    // A machine that is none.
    let rows = Machine::new(&[("sys/class/dmi/id/product_name", "ThinkPad X230\n")]).doctor(&shop(""));
    says(&rows, "board", "ok", "not a Raspberry Pi (ThinkPad X230)", "");
}

#[test]
fn words_on_the_picture_need_fonts() {
    let machine = Machine::pi4();
    let with = |text: &str| {
        let shop = shop("");
        let more = if text.is_empty() { String::new() } else { format!("[overlay]\ntext = \"{text}\"\n") };
        std::fs::write(&shop.config, std::fs::read_to_string(&shop.config).unwrap() + &more).unwrap();
        shop
    };
    assert!(!machine.doctor(&with("")).to_string().contains("fonts"), "nobody writes anything");
    says(&machine.doctor(&with("Shop 42")), "fonts", "warn", "left out", "install fonts-dejavu-core");
    machine.write(&[("usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", ""), ("usr/share/fonts/cmap/README", "")]);
    says(&machine.doctor(&with("Shop 42")), "fonts", "ok", "1 for the words", "");
    says(&machine.doctor(&with("\u{676f}\u{5b50}")), "fonts", "warn", "the signs of", "install fonts-noto-cjk");
    machine.write(&[("usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "")]);
    says(&machine.doctor(&with("\u{676f}\u{5b50}")), "fonts", "ok", "2 for the words", "");
}

/// All rows.
fn rows(shop: &TestBox, key: &str) -> Value {
    let output = shop.command(&["doctor", "--json"]).env("BOX_KEY", key).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one row of a check.
fn row(shop: &TestBox, check: &str, key: &str) -> Value {
    let rows = rows(shop, key);
    rows.as_array().unwrap().iter().find(|row| row["check"] == check).cloned().unwrap_or_default()
}

#[test]
fn certificates_are_judged_by_their_dates_and_names() {
    let authority = Authority::new();
    let (shop, key) = (TestBox::new(&BoxConfig::default()), authority.file("client.key"));
    let judge = |cert: &str, ca: &str| {
        let mqtt = format!(
            "url = \"mqtts://localhost:9\"\nca-file = \"{ca}\"\nclient-cert = \"{cert}\"\nclient-key = \"{key}\""
        );
        shop.configure(&BoxConfig { mqtt, ..BoxConfig::default() });
        rows(&shop, "")
    };
    let ca = authority.file("ca.pem");
    let (past, future) = ("20200101000000Z", "20400101000000Z");
    let told = judge(&authority.certify("test-box", past, future), &ca);
    says(&told, "client-cert", "ok", "good until 2040-01-01", "");
    says(&told, "ca-file", "warn", "ends soon", "authority");
    let told = judge(&authority.certify("ended", past, "20260110000000Z"), &ca);
    says(
        &told,
        "client-cert",
        "fail",
        "its certificate ended on 2026-01-10, and the clock here says 2",
        "new one made",
    );
    let told = judge(&authority.certify("early", "20390201000000Z", future), &ca);
    says(&told, "client-cert", "fail", "is not good before 2039-02-01", "timedatectl");
    says(
        &told,
        "client-cert",
        "fail",
        "it is for \"early, localhost\", and this box's id is \"test-box\"",
        "[device] id = \"early\"",
    );
    // Its common name is what the shipped broker goes by.
    let told = judge(&authority.file("client.pem"), &authority.file("client.key"));
    says(&told, "client-cert", "fail", "it is for \"client, localhost\"", "have a certificate made for \"test-box\"");
    says(&told, "ca-file", "fail", "no certificate in PEM form", "the servers' authority");
    let told = judge("/nonexistent.pem", &ca);
    says(&told, "client-cert", "fail", "/nonexistent.pem", "client-cert");
}

#[test]
fn a_server_whose_certificate_ended_is_told_with_its_date() {
    let (authority, shop, port) = (Authority::new(), TestBox::new(&BoxConfig::default()), free_port());
    let cert = authority.certify("localhost", "20200101000000Z", "20260110000000Z");
    let mut server = Command::new("openssl");
    server.args(["s_server", "-quiet", "-naccept", "100", "-accept", &format!("127.0.0.1:{port}")]);
    server.args(["-key", &authority.file("client.key"), "-cert", &cert]);
    let _server = Program::start(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("the server answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mqtt = format!("url = \"mqtts://localhost:{port}\"\nca-file = \"{}\"", authority.file("ca.pem"));
    shop.configure(&BoxConfig { mqtt, ..BoxConfig::default() });
    says(&rows(&shop, ""), "broker", "fail", "its certificate ended on 2026-01-10", "whoever keeps the server");
}

#[test]
fn a_broker_that_knows_boxes_by_certificate_is_shown_one() {
    let (authority, shop, port) = (Authority::new(), TestBox::new(&BoxConfig::default()), free_port());
    let file = |name: &str| authority.file(name);
    let mut server = Command::new("openssl");
    server.args(["s_server", "-quiet", "-naccept", "100", "-Verify", "1", "-verify_return_error"]);
    server.args(["-accept", &format!("127.0.0.1:{port}"), "-CAfile", &file("ca.pem")]);
    server.args(["-key", &file("server.key"), "-cert", &file("server.pem")]);
    let _server = Program::start(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("the server answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mqtt = format!("url = \"mqtts://localhost:{port}\"\nca-file = \"{}\"\n", file("ca.pem"));
    let with = |cert: &str| {
        let own = format!("client-cert = \"{}\"\nclient-key = \"${{BOX_KEY}}\"\n", file(cert));
        shop.configure(&BoxConfig { mqtt: format!("{mqtt}{own}"), ..BoxConfig::default() });
    };
    with("client.pem");
    let text = std::fs::read_to_string(file("client.key")).unwrap();
    for key in [text.as_str(), &file("client.key")] {
        // The authority's certificates end in two days.
        let broker = row(&shop, "broker", key);
        let found = broker["found"].as_str().unwrap();
        assert!(broker["verdict"] == "warn" && found.contains("its certificate ends soon, on 2"), "{broker}");
        says(&rows(&shop, key), "client-cert", "warn", "ends soon", "new one");
    }
    // One that does not belong to the key, one whose key is missing, one that the broker does not know, and none at
    // all.
    says(&rows(&shop, &file("server.key")), "client-cert", "fail", "do not belong together", "put the key there");
    for key in ["", "/nonexistent.key"] {
        // Without the key nobody knows whether the broker would let the box in.
        let rows = rows(&shop, key);
        says(&rows, "broker", "warn", "wants this box's certificate, which cannot be shown", "secrets");
    }
    with("stranger.pem");
    let broker = row(&shop, "broker", &file("x.key"));
    assert!(broker["verdict"] == "fail", "{broker}");
    shop.configure(&BoxConfig { mqtt, ..BoxConfig::default() });
    let broker = row(&shop, "broker", "");
    assert!(
        broker["verdict"] == "fail" && broker["advice"].as_str().unwrap().contains("set [mqtt] client-cert"),
        "{broker}"
    );
}

#[test]
fn the_claim_code_is_told_with_and_without_a_guard() {
    let shop = TestBox::new(&BoxConfig::default());
    assert_eq!(row(&shop, "identity", "")["verdict"], "warn");
    let mut guard = shop.start("guard");
    let told = row(&shop, "identity", "");
    let identity = &shop.status().unwrap()["identity"];
    let (code, fingerprint) = (identity["claim-code"].as_str().unwrap(), identity["fingerprint"].as_str().unwrap());
    assert_eq!(told["found"], format!("claim code {code}, key SHA-256 {fingerprint}"));
    guard.finish();
    assert_eq!(row(&shop, "identity", ""), told);
}
