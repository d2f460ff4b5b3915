//! Interfaces as sysfs shows those of real drivers.

use std::os::unix::fs::symlink;

use super::*;

/// A machine's sysfs and routes.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("sys/class/net/lo/type", "772\n");
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn interface(&self, name: &str, hardware: u32, device_type: &str) -> &Self {
        let devtype = if device_type.is_empty() { String::new() } else { format!("DEVTYPE={device_type}\n") };
        self.write(&format!("sys/class/net/{name}/type"), &format!("{hardware}\n"));
        self.write(&format!("sys/class/net/{name}/uevent"), &format!("{devtype}INTERFACE={name}\nIFINDEX=3\n"));
        self.write(&format!("sys/class/net/{name}/operstate"), "up\n");
        self
    }

    fn usb(&self, name: &str, driver: &str, address: &str) {
        self.interface(name, 1, "");
        self.write(&format!("sys/class/net/{name}/address"), &format!("{address}\n"));
        self.write(&format!("sys/class/net/{name}/device/modalias"), "usb:\n");
        let target = Path::new("../../../bus/usb/drivers").join(driver);
        symlink(target, self.0.path().join(format!("sys/class/net/{name}/device/driver"))).unwrap();
    }

    /// Default routes of IPv4, the preferred one first.
    fn routes(&self, names: &[&str]) {
        let lines = names.iter().enumerate().map(|(number, name)| {
            format!("{name}\t00000000\t0101090A\t0003\t0\t0\t{}\t00000000\t0\t0\t0\n", 100 * (number + 1))
        });
        self.write("proc/net/route", &format!("Iface\tDestination\n{}", lines.collect::<String>()));
    }

    fn links(&self, metered: &[&str]) -> Links {
        let metered_interfaces: Vec<String> = metered.iter().map(|name| (*name).to_owned()).collect();
        Links { metered_interfaces: metered_interfaces.into(), ..Links::default() }.below(self.0.path())
    }

    fn link(&self, name: &str) -> Link {
        self.links(&[]).of_interface(name)
    }

    #[track_caller]
    fn is(&self, name: &str, kind: LinkKind, is_metered: bool) {
        assert_eq!(self.link(name), Link { kind, is_metered }, "{name}");
    }
}

#[test]
fn kinds_of_hardware_are_told_apart() {
    let machine = Machine::new();
    machine.interface("eth0", 1, "").interface("wlan0", 1, "wlan").interface("wlan1", 1, "");
    machine.write("sys/class/net/wlan1/phy80211/name", "phy1\n");
    // qmi_wwan in Ethernet and in raw-ip mode, cdc_mbim, rmnet, bnep, InfiniBand.
    machine.interface("wwan0", 1, "wwan").interface("wwan1", 0xfffe, "wwan").interface("rmnet0", 519, "");
    machine.interface("bnep0", 1, "bluetooth").interface("ib0", 32, "");
    machine.is("eth0", LinkKind::Ethernet, false);
    machine.is("wlan0", LinkKind::Wifi, false);
    machine.is("wlan1", LinkKind::Wifi, false);
    for mobile in ["wwan0", "wwan1", "rmnet0", "bnep0"] {
        machine.is(mobile, LinkKind::Mobile, true);
    }
    for other in ["ib0", "lo", "gone0"] {
        machine.is(other, LinkKind::Other, false);
    }
}

#[test]
fn a_phone_over_usb_is_mobile_and_an_adapter_is_not() {
    let machine = Machine::new();
    machine.usb("usb0", "rndis_host", "00:1b:c5:00:00:01");
    machine.usb("usb1", "ipheth", "00:1b:c5:00:00:02");
    machine.usb("usb2", "cdc_ncm", "a2:11:22:33:44:55");
    machine.usb("eth1", "cdc_ncm", "00:e0:4c:68:00:01");
    machine.usb("eth2", "r8152", "02:e0:4c:68:00:01");
    for phone in ["usb0", "usb1", "usb2"] {
        machine.is(phone, LinkKind::Mobile, true);
    }
    machine.is("eth1", LinkKind::Ethernet, false);
    machine.is("eth2", LinkKind::Ethernet, false);
}

#[test]
fn ppp_is_a_modem_unless_it_runs_over_ethernet() {
    let machine = Machine::new();
    machine.interface("ppp0", 512, "ppp").interface("eth0", 1, "");
    machine.is("ppp0", LinkKind::Mobile, true);
    machine.write("proc/net/pppoe", "Id       Address              Device\n");
    machine.is("ppp0", LinkKind::Mobile, true);
    machine.write("proc/net/pppoe", "Id       Address              Device\n00000001 00:1B:C5:00:00:01 eth0\n");
    machine.is("ppp0", LinkKind::Ethernet, false);
}

#[test]
fn what_lies_beneath_a_bridge_a_vlan_or_a_bond_counts() {
    let machine = Machine::new();
    machine.interface("eth0", 1, "").interface("wwan0", 0xfffe, "wwan");
    machine.interface("br0", 1, "bridge").interface("br0.7", 1, "vlan").interface("bond0", 1, "bond");
    machine.write("sys/class/net/br0/lower_eth0", "");
    machine.write("sys/class/net/br0.7/lower_br0", "");
    machine.write("sys/class/net/bond0/lower_eth0", "");
    machine.write("sys/class/net/bond0/lower_wwan0", "");
    machine.is("br0.7", LinkKind::Ethernet, false);
    // Which of them is in use is not known yet.
    machine.is("bond0", LinkKind::Mobile, true);
    machine.write("sys/class/net/bond0/bonding/active_slave", "eth0\n");
    machine.is("bond0", LinkKind::Ethernet, false);
    machine.write("sys/class/net/bond0/bonding/active_slave", "wwan0\n");
    machine.is("bond0", LinkKind::Mobile, true);
    // A ring, which the kernel does not allow, ends too.
    machine.write("sys/class/net/br0/lower_br0.7", "");
    machine.write("sys/class/net/br0/lower_br0", "");
    machine.link("br0.7");
}

#[test]
fn a_vpn_is_what_carries_it() {
    let machine = Machine::new();
    machine.interface("tun0", 0xfffe, "").interface("wg0", 0xfffe, "wireguard").interface("tap0", 1, "");
    machine.write("sys/class/net/tap0/tun_flags", "0x1002\n");
    machine.interface("eth0", 1, "").interface("wwan0", 0xfffe, "wwan");
    for vpn in ["tun0", "wg0", "tap0"] {
        machine.routes(&["tun0", "eth0", "wwan0"]);
        machine.is(vpn, LinkKind::Ethernet, false);
        machine.routes(&["wg0", "wwan0", "eth0"]);
        machine.is(vpn, LinkKind::Mobile, true);
        // No route says what carries it: a mobile link that is up may.
        machine.routes(&["tun0"]);
        machine.is(vpn, LinkKind::Mobile, true);
    }
    machine.write("sys/class/net/wwan0/operstate", "down\n");
    machine.is("tun0", LinkKind::Ethernet, false);
    machine.write("sys/class/net/eth0/operstate", "down\n");
    machine.is("tun0", LinkKind::Other, false);
}

#[test]
fn an_interface_is_metered_where_the_configuration_says_so() {
    let machine = Machine::new();
    machine.interface("eth0", 1, "").interface("br0", 1, "bridge").interface("tun0", 0xfffe, "");
    machine.write("sys/class/net/br0/lower_eth0", "");
    machine.routes(&["tun0", "eth0"]);
    let metered = Link { kind: LinkKind::Ethernet, is_metered: true };
    for named in [["eth0"], ["br0"]] {
        assert_eq!(machine.links(&named).of_interface("br0"), metered, "{named:?}");
    }
    assert_eq!(machine.links(&["eth0"]).of_interface("tun0"), metered);
    assert_eq!(machine.links(&["tun0"]).of_interface("tun0"), metered);
    assert_eq!(machine.links(&["tun0"]).of_interface("eth0"), Link { kind: LinkKind::Ethernet, is_metered: false });
}
