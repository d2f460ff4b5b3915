//! Ingest servers: nginx with its RTMP module, an ffmpeg listener, srt-live-transmit; and what they received.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::test_ca::Authority;
use crate::support::{Program, free_port, wait_until};

/// nginx, recording each stream into a file of its own.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    dir: tempfile::TempDir,
    process: Option<Program>,
}

impl Nginx {
    pub(crate) fn new() -> Self {
        Self::with("", |_| String::new())
    }

    /// Behind TLS too: the port for it, and an nginx with the certificate of `authority`.
    pub(crate) fn with_tls(authority: &Authority) -> (u16, Self) {
        let port = free_port();
        let (cert, key) = (authority.file("server.pem"), authority.file("server.key"));
        let stream = |plain: u16| {
            format!(
                "stream {{ server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key}; \
                 proxy_pass 127.0.0.1:{plain}; }} }}"
            )
        };
        (port, Self::with("", stream))
    }

    /// Asks at `gate`, an HTTP port, whether a stream key may publish.
    pub(crate) fn with_gate(gate: u16) -> Self {
        Self::with(&format!("on_publish http://127.0.0.1:{gate}/;"), |_| String::new())
    }

    fn with(application: &str, outside: impl FnOnce(u16) -> String) -> Self {
        let mut this = Self { port: free_port(), dir: tempfile::tempdir().unwrap(), process: None };
        // nginx drops root for its worker: that one has to write here too.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(this.dir.path(), mode).unwrap();
        let (dir, port) = (this.dir.path().display(), this.port);
        let outside = outside(port);
        let config = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\nload_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\npid {dir}/pid;\nerror_log {dir}/error.log;\n\
             worker_processes 1;\nevents {{}}\nrtmp {{ server {{ listen 127.0.0.1:{port}; ping 10s; application live {{ live on; \
             record all; record_path {dir}; record_suffix -%s.flv; record_unique on; {application} }} }} }}\n{outside}\n"
        );
        std::fs::write(this.dir.path().join("nginx.conf"), config).unwrap();
        this.start();
        this
    }

    pub(crate) fn start(&mut self) {
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-c").arg(self.dir.path().join("nginx.conf")).arg("-e").arg(self.dir.path().join("error.log"));
        self.process = Some(Program::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        let port = self.port;
        wait_until("nginx answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// Ends it at once, its worker with it.
    pub(crate) fn stop(&mut self) {
        drop(self.process.take());
    }

    pub(crate) fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live/key-of-the-stream", self.port)
    }

    /// What was recorded, oldest first.
    pub(crate) fn recordings(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.dir.path()).unwrap().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "flv")).collect();
        files.sort_by_key(|path| std::fs::metadata(path).and_then(|data| data.modified()).ok());
        files
    }
}

/// An nginx that ends TLS on the port `outside` for whatever listens on `port`.
pub(crate) fn tls_in_front_of(port: u16, outside: u16, authority: &Authority, dir: &Path) -> Program {
    let (cert, key, dir) = (authority.file("server.pem"), authority.file("server.key"), dir.display());
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\npid {dir}/pid;\nerror_log {dir}/error.log;\n\
         worker_processes 1;\nevents {{}}\nstream {{ server {{ listen 127.0.0.1:{outside} ssl; ssl_certificate {cert}; \
         ssl_certificate_key {key}; proxy_pass 127.0.0.1:{port}; }} }}\n"
    );
    std::fs::write(format!("{dir}/nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command.args(["-c", &format!("{dir}/nginx.conf"), "-e", &format!("{dir}/error.log")]);
    let program = Program::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("nginx listens", || listens("tcp", outside));
    program
}

/// An ffmpeg that takes one RTMP stream into a file.
pub(crate) fn ffmpeg_listener(port: u16, file: &Path) -> Program {
    ffmpeg_listener_on("127.0.0.1", port, file)
}

/// The same on another address of loopback.
pub(crate) fn ffmpeg_listener_on(host: &str, port: u16, file: &Path) -> Program {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-listen", "1", "-i"]);
    command.arg(format!("rtmp://{host}:{port}/live/key-of-the-stream"));
    // The times that were sent, and not others that begin with 0.
    command.args(["-copyts", "-c", "copy", "-flush_packets", "1", "-y"]).arg(file);
    let listener = Program::start(command.stdin(Stdio::null()).stderr(Stdio::null()));
    wait_until("ffmpeg listens", || listens_on("tcp", host, port));
    listener
}

/// An srt-live-transmit that takes one stream into a file; `options` begin with `&`.
pub(crate) fn srt_listener(port: u16, options: &str, file: &Path) -> Program {
    let mut command = Command::new("srt-live-transmit");
    command.args(["-q", &format!("srt://127.0.0.1:{port}?mode=listener{options}"), "file://con"]);
    let file = std::fs::File::create(file).unwrap();
    let listener = Program::start(command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null()));
    wait_until("srt-live-transmit listens", || listens("udp", port));
    listener
}

/// Whether somebody listens on a port, without connecting to it: the servers above take one connection only. One that
/// has it already, from a box that tries four times a second, listens no more.
pub(crate) fn listens(protocol: &str, port: u16) -> bool {
    listens_on(protocol, "127.0.0.1", port)
}

fn listens_on(protocol: &str, host: &str, port: u16) -> bool {
    // The kernel prints addresses as this machine keeps them, and all of them as zeros.
    let address = u32::from_ne_bytes(host.parse::<std::net::Ipv4Addr>().unwrap().octets());
    let places = [format!("{address:08X}:{port:04X}"), format!("00000000:{port:04X}")];
    let table = std::fs::read_to_string(format!("/proc/net/{protocol}")).unwrap_or_default();
    // LISTEN and ESTABLISHED; of UDP, unconnected.
    let states: &[&str] = if protocol == "tcp" { &["0A", "01"] } else { &["07"] };
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1).is_some_and(|local| places.iter().any(|place| place == local))
            && words.get(3).is_some_and(|state| states.contains(state))
    })
}

/// One packet as ffprobe sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) pts: f64,
    pub(crate) key: bool,
}

fn ffprobe(file: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new("ffprobe").args(["-v", "error"]).args(arguments).args(["-of", "csv=p=0"]).arg(file).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// Codec, width and height of each stream, as ffprobe prints them.
pub(crate) fn streams(file: &Path) -> String {
    ffprobe(file, &["-show_entries", "stream=codec_name,width,height"])
}

/// Packets of the first stream of a kind: "v" or "a".
pub(crate) fn packets(file: &Path, kind: &str) -> Vec<Packet> {
    let text = ffprobe(file, &["-select_streams", &format!("{kind}:0"), "-show_entries", "packet=pts_time,flags"]);
    text.lines()
        .filter_map(|line| {
            let (pts, flags) = line.split_once(',')?;
            Some(Packet { pts: pts.parse().ok()?, key: flags.contains('K') })
        })
        .collect()
}
