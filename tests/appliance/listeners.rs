//! The box opens no port: nobody on the network can reach it, whatever it is doing.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

use crate::broker::{Broker, Operator};
use crate::ingest::Nginx;
use crate::support::test_box::{BoxConfig, TestBox};

/// Inodes of the TCP sockets that listen in this network namespace.
fn listening() -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The fourth field is the state, of which 0A is LISTEN, the tenth the inode.
    fields.filter(|fields| fields.get(3) == Some(&"0A")).map(|fields| format!("socket:[{}]", fields[9])).collect()
}

/// How many listening sockets a process has.
fn listeners(pid: i32) -> usize {
    let all = listening();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    targets.filter(|target| all.contains(target.to_str().unwrap_or_default())).count()
}

#[test]
fn no_role_listens_on_the_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
    assert!(listening().contains(own.to_str().unwrap()), "a listening socket has to be seen");

    let (broker, nginx) = (Broker::new(""), Nginx::new());
    let mut operator = Operator::connect(broker.port);
    let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), mqtt: broker.url(), ..BoxConfig::default() });
    let mut run = shop.start("run");
    operator.wait_for_phase("idle");
    let roles = |wanted: &[&str]| {
        for role in wanted {
            let pids = shop.processes(role);
            assert_eq!(pids.len(), 1, "{role}");
            assert_eq!(listeners(pids[0]), 0, "{role} listens");
        }
    };
    roles(&["run", "guard", "agent"]);
    shop.press();
    operator.wait_for_phase("live");
    roles(&["run", "guard", "agent", "capture"]);
    assert_eq!(run.finish(), Some(0));
}
