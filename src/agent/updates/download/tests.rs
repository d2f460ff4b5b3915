//! Against nginx, and against a server that does what nginx would not.

#![allow(clippy::similar_names)] // plan, part and port are what they are

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::ports::free_port;

const MAKE: &str = r"
for who in ca stranger; do
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$who -keyout $who.key -out $who.pem
done
openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr
printf 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n' >ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem
mkdir files files/slow box
";

/// What each test has: certificates, files on a server, the agent's folder, and a package.
struct Bench {
    dir: tempfile::TempDir,
    content: Vec<u8>,
}

type Connection = StreamOwned<ServerConnection, TcpStream>;

impl Bench {
    fn new(size: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("bash").args(["-ec", MAKE]).current_dir(dir.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut random = fastrand::Rng::with_seed(7);
        Self { dir, content: (0..size).map(|_| random.u8(..)).collect() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path("files").join(name), content).unwrap();
    }

    /// The package at an address of a server at `port`.
    fn plan(&self, port: u16, path: &str) -> Plan {
        Plan {
            file: rollout::File {
                url: format!("https://localhost:{port}{path}"),
                size: self.content.len() as u64,
                sha256: Sha256Hex::of(&self.content),
            },
            dir: self.path("box"),
            allowed_hosts: None,
            residency: crate::config::example("").residency,
            refusals: Refusals::default(),
            authorities: self.path("ca.pem"),
        }
    }

    /// What lies in the agent's folder.
    fn found(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("box")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn part(&self) -> PathBuf {
        update_files::package(&self.path("box"), &Sha256Hex::of(&self.content)).with_extension("part")
    }

    /// The package is there, whole, and nothing else is.
    fn check_done(&self, plan: &Plan) {
        assert_eq!(fetch(plan, &Stop::default()), Fetch::Done);
        let package = update_files::package(&plan.dir, &plan.file.sha256);
        assert_eq!(std::fs::read(package).unwrap(), self.content);
        assert_eq!(self.found().len(), 1);
    }

    /// It fails with these words, and nothing that could be installed is there.
    fn check_failed(&self, plan: &Plan, words: &str) {
        let ended = fetch(plan, &Stop::default());
        assert!(matches!(&ended, Fetch::Failed { why, .. } if why.contains(words)), "{ended:?} instead of {words:?}");
        assert!(self.found().iter().all(|name| name.contains(".part")), "{:?}", self.found());
    }

    /// A server that answers one request after the other by `answer`, which gets what was asked for.
    fn serve(&self, answer: impl Fn(&str, &mut Connection) + Send + 'static) -> u16 {
        let read = |name: &str| std::fs::read(self.path(name)).unwrap();
        let chain = CertificateDer::pem_slice_iter(&read("server.pem")).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&read("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let mut connection = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
                let mut asked = String::new();
                let mut lines = BufReader::new(&mut connection).lines();
                while let Some(Ok(line)) = lines.next().filter(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                {
                    asked.push_str(&line);
                    asked.push('\n');
                }
                drop(lines);
                answer(&asked, &mut connection);
                connection.conn.send_close_notify();
                let _ = connection.flush();
            }
        });
        port
    }
}

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Packages as somebody serves them with nginx.
fn nginx(bench: &Bench, port: u16) -> Nginx {
    let dir = bench.dir.path().display().to_string();
    let text = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log; events {{}}
         http {{ access_log {dir}/access.log; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;
           fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
           log_format x '$status $body_bytes_sent'; access_log {dir}/seen x;
           server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.key;
             root {dir}/files;
             location /slow/ {{ limit_rate 200k; }}
             location /moved {{ return 302 /package; }}
             location /circle {{ return 302 /circle; }}
             location /elsewhere {{ return 302 https://elsewhere.example/package; }}
             location /plain {{ return 302 http://localhost:{port}/package; }}
             location /nowhere {{ return 302 ''; }}
             location /busy {{ return 503; }} }} }}"
    );
    std::fs::write(bench.path("nginx.conf"), text).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(bench.dir.path()).arg("-c").arg(bench.path("nginx.conf")).stderr(Stdio::null());
    let server = Nginx(command.spawn().unwrap());
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    server
}

/// Status and bytes of each answer that nginx gave.
fn seen(bench: &Bench) -> Vec<(u16, u64)> {
    let text = std::fs::read_to_string(bench.path("seen")).unwrap_or_default();
    let number = |line: &str, index| line.split(' ').nth(index).unwrap().parse::<u64>().unwrap();
    text.lines().map(|line| (u16::try_from(number(line, 0)).unwrap(), number(line, 1))).collect()
}

#[test]
fn nginx_serves_a_package_once_and_what_broke_off_goes_on_there() {
    let (bench, port) = (Bench::new(900_000), free_port());
    bench.put("slow/package", &bench.content);
    let plan = bench.plan(port, "/slow/package");
    // Another release's package, and a part of one, are of no use any more.
    for old in [Sha256Hex::of(b"old"), Sha256Hex::of(b"older")] {
        std::fs::write(update_files::package(&plan.dir, &old), "old").unwrap();
        std::fs::write(update_files::package(&plan.dir, &old).with_extension("part"), "old").unwrap();
    }
    let server = nginx(&bench, port);
    let part = bench.part();
    std::thread::scope(|scope| {
        let download = scope.spawn(|| fetch(&plan, &Stop::default()));
        while std::fs::metadata(&part).map_or(0, |part| part.len()) < 200_000 {
            std::thread::yield_now();
        }
        // Whoever comes meanwhile does not write beside it.
        assert!(
            matches!(fetch(&plan, &Stop::default()), Fetch::Failed { why, has_grown: _ } if why.contains("still ending"))
        );
        drop(server);
        let ended = download.join().unwrap();
        assert!(matches!(&ended, Fetch::Failed { why, has_grown: true } if why.contains("broke off")), "{ended:?}");
    });
    let begun = std::fs::metadata(&part).unwrap().len();
    assert!(begun < 900_000 && bench.found().len() == 1, "{:?}", bench.found());
    let _server = nginx(&bench, port);
    bench.check_done(&plan);
    assert_eq!(seen(&bench).last(), Some(&(206, 900_000 - begun)));
    let answers = seen(&bench).len();
    bench.check_done(&plan);
    assert_eq!(seen(&bench).len(), answers, "it is there: nobody is asked");
    // Damaged meanwhile, it is not taken for the right one.
    std::fs::write(update_files::package(&plan.dir, &plan.file.sha256), vec![0; 900_000]).unwrap();
    bench.check_done(&plan);
}

/// The beginning is from another file than the one that the server has now, whatever that one says of itself.
#[test]
fn a_file_that_changed_between_two_connections_comes_whole() {
    let (bench, port) = (Bench::new(300_000), free_port());
    bench.put("package", &bench.content);
    let _server = nginx(&bench, port);
    std::fs::write(bench.part(), vec![1; 100_000]).unwrap();
    bench.check_done(&bench.plan(port, "/package"));
    assert_eq!(seen(&bench), [(206, 200_000), (200, 300_000)]);
}

#[test]
fn redirects_are_followed_to_allowed_hosts_only_and_not_for_ever() {
    let (bench, port) = (Bench::new(1000), free_port());
    bench.put("package", &bench.content);
    let _server = nginx(&bench, port);
    let plan = |path: &str| bench.plan(port, path);
    bench.check_failed(&plan("/circle"), "in circles");
    bench.check_failed(&plan("/elsewhere"), "elsewhere.example is not an https server");
    bench.check_failed(&plan("/plain"), "localhost is not an https server");
    bench.check_failed(&plan("/nothing"), "HTTP 404");
    bench.check_failed(&plan("/busy"), "the server is busy (HTTP 503)");
    let hosts = Some(vec![HostPattern::parse("*.example.cn").unwrap()]);
    bench.check_failed(&Plan { allowed_hosts: hosts, ..plan("/package") }, "allowed-hosts");
    bench.check_done(&plan("/moved"));
}

#[test]
fn what_has_another_size_or_digest_is_never_taken() {
    let (bench, port) = (Bench::new(100_000), free_port());
    let _server = nginx(&bench, port);
    let plan = bench.plan(port, "/package");
    let mut other = bench.content.clone();
    other[50_000] ^= 1;
    bench.put("package", &other);
    bench.check_failed(&plan, "another digest");
    assert_eq!(std::fs::metadata(bench.part()).unwrap().len(), 0, "nothing of it is kept");
    bench.put("package", &bench.content[..60_000]);
    bench.check_failed(&plan, "has 60000 bytes, and the release says 100000");
    bench.put("package", &[&bench.content[..], b"more"].concat());
    bench.check_failed(&plan, "has 100004 bytes, and the release says 100000");
    // The same where something is there already.
    std::fs::write(bench.part(), &bench.content[..70_000]).unwrap();
    bench.check_failed(&plan, "has 100004 bytes, and the release says 100000");
    bench.put("package", &bench.content[..60_000]);
    bench.check_failed(&plan, "shorter than the release says");
    bench.put("package", &bench.content);
    bench.check_done(&plan);
    assert_eq!(seen(&bench).last(), Some(&(206, 30_000)), "what was there has not suffered");
}

#[test]
fn a_server_with_a_wrong_certificate_is_not_asked() {
    let (bench, port) = (Bench::new(1000), free_port());
    bench.put("package", &bench.content);
    let _server = nginx(&bench, port);
    let plan = || bench.plan(port, "/package");
    bench.check_failed(&Plan { authorities: bench.path("stranger.pem"), ..plan() }, "not trusted");
    bench.check_failed(&Plan { authorities: bench.path("no such file"), ..plan() }, "not trusted");
    let mut by_address = plan();
    by_address.file.url = format!("https://127.0.0.1:{port}/package");
    bench.check_failed(&by_address, "another name");
    assert_eq!(seen(&bench), []);
    // One that speaks no TLS at all.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = bench.plan(plain.local_addr().unwrap().port(), "/package");
    std::thread::spawn(move || plain.accept().map(|(mut socket, _)| socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n")));
    bench.check_failed(&elsewhere, "cannot be reached");
}

#[test]
fn a_server_that_ignores_where_to_go_on_is_begun_anew() {
    let bench = Bench::new(50_000);
    let content = bench.content.clone();
    let port = bench.serve(move |asked, to| {
        assert!(asked.contains("ange: bytes=20000-"), "{asked}");
        let _ = to.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()).as_bytes());
        let _ = to.write_all(&content);
    });
    std::fs::write(bench.part(), vec![9; 20_000]).unwrap();
    bench.check_done(&bench.plan(port, "/package"));
}

#[test]
fn a_server_that_lies_gets_no_further() {
    let bench = Bench::new(50_000);
    let whole = bench.content.clone();
    let port = bench.serve(move |asked, to| {
        let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}\r\n");
        let path = asked.split(' ').nth(1).unwrap_or_default();
        let _ = match path {
            // Without an end: until nobody listens any more.
            "/endless" => {
                let _ = to.write_all(head("Transfer-Encoding: chunked\r\n").as_bytes());
                while to.write_all(format!("1000\r\n{}\r\n", "x".repeat(0x1000)).as_bytes()).is_ok() {}
                Ok(())
            }
            "/headers" => {
                let _ = to.write_all(b"HTTP/1.1 200 OK\r\n");
                while to.write_all(b"X-More: and more\r\n").is_ok() {}
                Ok(())
            }
            // It ends before it said that it would.
            "/short" => {
                to.write_all(head("Content-Length: 50000\r\n").as_bytes()).and_then(|()| to.write_all(&whole[..10_000]))
            }
            "/elsewhere" => to.write_all(
                format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-49999/50000\r\n{}", &head("")[17..])
                    .as_bytes(),
            ),
            _ => to.write_all(b"what?\r\n\r\n"),
        };
    });
    bench.check_failed(&bench.plan(port, "/endless"), "another digest");
    bench.check_failed(&bench.plan(port, "/headers"), "cannot be reached");
    bench.check_failed(&bench.plan(port, "/nonsense"), "cannot be reached");
    bench.check_failed(&bench.plan(port, "/short"), "broke off");
    assert_eq!(std::fs::metadata(bench.part()).unwrap().len(), 10_000);
    bench.check_failed(&bench.plan(port, "/elsewhere"), "another part");
    assert_eq!(std::fs::metadata(bench.part()).unwrap().len(), 10_000, "what was right is kept");
}

#[test]
fn a_download_from_a_slow_server_ends_when_it_is_not_wanted_any_more() {
    let bench = Bench::new(50_000);
    let content = bench.content.clone();
    let server = bench.serve(move |_, to| {
        let _ = to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n");
        for byte in &content {
            if to.write_all(&[*byte]).and_then(|()| to.flush()).is_err() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    let plan = bench.plan(server, "/package");
    let (tell, told) = std::sync::mpsc::channel();
    let part = bench.part();
    let worker = crate::worker::Worker::spawn("update", crate::worker::OnDrop::Detach, move |stop| {
        let _ = tell.send(fetch(&plan, stop));
    });
    while std::fs::metadata(&part).map_or(0, |part| part.len()) < 20 {
        std::thread::yield_now();
    }
    drop(worker);
    assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok(Fetch::Stopped));
    assert!(std::fs::read(&part).is_ok_and(|part| bench.content.starts_with(&part)));
}

/// A file system of its own, which fills up in the middle of a download.
#[test]
fn a_disk_that_fills_up_meanwhile_is_told_and_with_room_again_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let inner = "exec \"$1\" --exact agent::updates::download::tests::on_a_small_disk --ignored";
    let script = format!("mount -t tmpfs -o size=80m tmpfs {}; {inner}", dir.path().display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-ec", &script, "sh"]).arg(std::env::current_exe().unwrap());
    let done = command.env("TMPDIR", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
#[ignore = "needs a small file system: the test before it calls it"]
fn on_a_small_disk() {
    let bench = Bench::new(4_000_000);
    let (content, filler) = (bench.content.clone(), bench.path("filler"));
    let port = bench.serve(move |asked, to| {
        let begun = asked.split_once("bytes=").map_or(0, |(_, rest)| rest.split('-').next().unwrap().parse().unwrap());
        let rest = &content[begun..];
        let head = if begun == 0 {
            "200 OK".to_owned()
        } else {
            format!("206 Partial Content\r\nContent-Range: bytes {begun}-3999999/4000000")
        };
        let _ = to.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", rest.len()).as_bytes());
        let (now, later) = rest.split_at(rest.len() / 2);
        let _ = to.write_all(now);
        if begun == 0 {
            // Somebody else takes the rest of the disk.
            let mut file = std::fs::File::create(&filler).unwrap();
            while file.write_all(&vec![0; CHUNK]).is_ok() {}
        }
        let _ = to.write_all(later);
    });
    let plan = bench.plan(port, "/package");
    bench.check_failed(&plan, "the disk is full");
    // Too little room is seen before anything is asked for, too.
    bench.check_failed(&plan, "MiB are needed");
    std::fs::remove_file(bench.path("filler")).unwrap();
    let begun = std::fs::metadata(bench.part()).unwrap().len();
    assert!((1..4_000_000).contains(&begun), "{begun}");
    bench.check_done(&plan);
}
