//! How far the network goes: a cable or an access point, an address, a way
//! out, a name server, or a stranger who answers in everybody's place.
//!
//! Everything is read where the system shows it to whoever asks, and from
//! `wpa_supplicant`'s own socket, which answers root. For `doctor` and the
//! report on the card; blocking, each wait bounded.
//!
//! ```text
//!  /sys/class/net      which links there are, and whether one is up
//!  /proc/net/*route    whether there is a way out, and so an address
//!  /etc/resolv.conf    whether somebody is asked for names
//!  /run/wpa_supplicant whether the access point is heard, and takes the password
//!  port 80             whether a login page answers there
//! ```

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixDatagram};
use std::path::Path;
use std::time::Duration;

/// `wpa_supplicant` answers at once or not at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Most bytes of its answer; a list of forty access points has half of it.
const ANSWER_MAX: usize = 8192;
/// For each step of asking port 80.
const PAGE_WITHIN: Duration = Duration::from_secs(4);
/// Of a page only its head matters.
const HEAD_MAX: u64 = 4096;

/// What is known of the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The sockets and radios.
    pub links: Vec<Link>,
    /// The link on which everything goes out.
    pub way_out: Option<String>,
    /// A device gave an address to itself since nobody else did.
    pub own_address: bool,
    /// Somebody is asked for names.
    pub has_names: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name, such as `wlan0`.
    pub name: String,
    /// Its hardware address, by which networks let devices in.
    pub address: String,
    /// It has a cable that leads somewhere, or an access point.
    pub up: bool,
    /// What the radio says; `None` for a cable.
    pub radio: Option<Radio>,
}

/// What a radio does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Radio {
    /// Nobody answers for it.
    Unknown,
    /// No network was given to it.
    NoNetwork,
    /// It is in this network.
    Joined(String),
    /// This network is heard, and does not take the password.
    Refused(String),
    /// This network is heard, and wants WPA3.
    WantsWpa3(String),
    /// None of these is heard among so many others.
    NotHeard {
        /// The names it was given.
        names: Vec<String>,
        /// Access points it hears.
        others: usize,
    },
    /// It hears one and is on the way.
    Trying(String),
}

impl State {
    /// Looks at the system below `root`, which is `/` but in tests.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let routes = text("proc/net/route");
        let way_out = way_out(&routes).or_else(|| way_out_v6(&text("proc/net/ipv6_route")));
        // Where systemd-resolved answers, it alone knows whom it asks.
        let names = ["run/systemd/resolve/resolv.conf", "etc/resolv.conf"];
        let names = names.iter().find(|path| root.join(path).exists());
        let mut links = links(root);
        links.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            links,
            way_out,
            own_address: routes.lines().any(is_own_address),
            has_names: names.is_some_and(|path| text(path).lines().any(is_name_server)),
        }
    }
}

fn links(root: &Path) -> Vec<Link> {
    let folder = root.join("sys/class/net");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let at = entry.path();
            let name = entry.file_name().into_string().ok()?;
            // Bridges and tunnels have no device behind them.
            at.join("device").exists().then_some(())?;
            let text = |file: &str| fs::read_to_string(at.join(file)).unwrap_or_default();
            let radio = at.join("wireless").exists() || at.join("phy80211").exists();
            Some(Link {
                address: text("address").trim().to_owned(),
                // Reading it fails while the link is switched off.
                up: text("carrier").trim() == "1",
                radio: radio.then(|| ask_radio(root, &name)),
                name,
            })
        })
        .collect()
}

/// The device of the default route: proc_net(5), numbers in hex.
fn way_out(routes: &str) -> Option<String> {
    let lines = routes.lines().skip(1);
    lines
        .map(|line| line.split_whitespace())
        .find_map(|mut fields| {
            let (name, to) = (fields.next()?, fields.next()?);
            let mask = fields.nth(5)?;
            (to == "00000000" && mask == "00000000").then(|| name.to_owned())
        })
}

/// The same of IPv6; routes that refuse are there also without a network.
fn way_out_v6(routes: &str) -> Option<String> {
    const REJECT: u32 = 0x200;
    routes.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [to, length, _, _, _, _, _, _, flags, name] = fields[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_default = length == "00" && to.bytes().all(|b| b == b'0');
        (is_default && flags & REJECT == 0 && name != "lo").then(|| name.to_owned())
    })
}

/// A route to 169.254.0.0/16, as its bytes stand in memory.
fn is_own_address(route: &str) -> bool {
    route.split_whitespace().nth(1) == Some("0000FEA9")
}

fn is_name_server(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some("nameserver") && words.next().is_some()
}

/// What `wpa_supplicant` says of a radio.
fn ask_radio(root: &Path, name: &str) -> Radio {
    let at = root.join("run/wpa_supplicant").join(name);
    let ask = || {
        // It answers to a name: an abstract one is the same in every mount
        // namespace, and leaves nothing behind.
        let name = format!("callbox-{}-{name}", std::process::id());
        let own = unix::SocketAddr::from_abstract_name(name)?;
        let socket = UnixDatagram::bind_addr(&own)?;
        socket.connect(&at)?;
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        socket.set_write_timeout(Some(ANSWER_WITHIN))?;
        let ask = |what: &str| {
            socket.send(what.as_bytes())?;
            let mut answer = vec![0; ANSWER_MAX];
            let length = socket.recv(&mut answer)?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        let (status, networks) = (ask("STATUS")?, ask("LIST_NETWORKS")?);
        std::io::Result::Ok(judge(&status, &networks, &ask("SCAN_RESULTS")?))
    };
    ask().unwrap_or(Radio::Unknown)
}

/// From the three answers, which are lines of `key=value`, and two tables with
/// tabs below a header. Names are escaped alike in all of them.
fn judge(status: &str, networks: &str, scan: &str) -> Radio {
    let value = |key: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once('='));
        lines.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    if value("wpa_state") == Some("COMPLETED") {
        return Radio::Joined(readable(value("ssid").unwrap_or_default()));
    }
    let given: Vec<(&str, &str)> = rows(networks)
        .filter_map(|row| Some((*row.get(1)?, row.get(3).copied().unwrap_or_default())))
        .collect();
    let heard: Vec<(&str, &str)> = rows(scan)
        .filter_map(|row| Some((row.get(4).copied().unwrap_or_default(), *row.get(3)?)))
        .collect();
    if given.is_empty() {
        return Radio::NoNetwork;
    }
    let near = |name: &str| heard.iter().find(|(other, _)| *other == name);
    for (name, _) in &given {
        if let Some((_, how)) = near(name)
            && how.contains("SAE")
            && !how.contains("PSK")
            && !value("key_mgmt").is_some_and(|used| used.contains("SAE"))
        {
            return Radio::WantsWpa3(readable(name));
        }
    }
    // After a wrong password a network is left alone for a while.
    if let Some((name, _)) = given.iter().find(|(_, how)| how.contains("TEMP-DISABLED")) {
        return Radio::Refused(readable(name));
    }
    match given.iter().find(|(name, _)| near(name).is_some()) {
        Some((name, _)) => Radio::Trying(readable(name)),
        None => Radio::NotHeard {
            names: given.iter().map(|(name, _)| readable(name)).collect(),
            others: heard.len(),
        },
    }
}

fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = table.lines().skip(1);
    lines.map(|line| line.split('\t').collect())
}

/// A name without the escapes that `wpa_supplicant` gives to all but ASCII.
fn readable(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let (byte, length) = match after {
            [b'x', high, low, ..] if *first == b'\\' => (hex(&[*high, *low]), 4),
            [c @ (b'\\' | b'"'), ..] if *first == b'\\' => (Some(*c), 2),
            _ => (None, 1),
        };
        bytes.push(byte.unwrap_or(*first));
        rest = &rest[byte.map_or(1, |_| length)..];
    }
    let text = String::from_utf8_lossy(&bytes);
    text.replace(char::is_control, " ")
}

/// Asks port 80 of `host` for a page, as a PC does to find login pages. Where
/// another host answers, or sends us to one, that is its name.
#[must_use]
pub fn stranger_at(host: &str) -> Option<String> {
    let address = (host, 80).to_socket_addrs().ok()?.next()?;
    let head = head_of_page(address, host).ok()?;
    stranger_in(&head, host)
}

fn head_of_page(address: SocketAddr, host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PAGE_WITHIN)?;
    stream.set_read_timeout(Some(PAGE_WITHIN))?;
    stream.set_write_timeout(Some(PAGE_WITHIN))?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut head = Vec::new();
    // A page that stops in the middle has said enough.
    _ = stream.take(HEAD_MAX).read_to_end(&mut head);
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The service itself sends whoever comes without TLS to itself with TLS.
fn stranger_in(head: &str, host: &str) -> Option<String> {
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let location = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("location"));
    let to = location.map(|(_, url)| url.trim()).and_then(host_of);
    match (status.as_bytes().first()?, to) {
        (b'3', Some(to)) if !is_same(to, host) => Some(to.to_owned()),
        // RFC 6585 6: a network that wants a login says so.
        (b'5', _) if status == "511" => Some("this network".to_owned()),
        _ => None,
    }
}

fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', ':', '?']).next()
}

fn is_same(a: &str, b: &str) -> bool {
    let plain = |host: &str| host.trim_start_matches("www.").to_ascii_lowercase();
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const LIST: &str = "network id / ssid / bssid / flags\n";
    const SCAN: &str = "bssid / frequency / signal level / flags / ssid\n";

    #[test]
    fn a_radio_says_why_it_is_not_in_a_network() {
        let scan = format!(
            "{SCAN}00:11:22:33:44:55\t2412\t-50\t[WPA2-PSK-CCMP][ESS]\thome\n\
             00:11:22:33:44:56\t2437\t-70\t[WPA2-SAE-CCMP][ESS]\tmodern\n\
             00:11:22:33:44:57\t2437\t-80\t[ESS]\t\n"
        );
        let list = |rows: &str| format!("{LIST}{rows}");
        let scanning = "wpa_state=SCANNING\naddress=aa:bb:cc:dd:ee:ff\n";
        let named = |name: &str| name.to_owned();
        let cases = [
            (
                "bssid=00:11\nssid=home\nwpa_state=COMPLETED\n",
                list("0\thome\tany\t[CURRENT]\n"),
                Radio::Joined(named("home")),
            ),
            (
                scanning,
                list("0\thome\tany\t[TEMP-DISABLED]\n"),
                Radio::Refused(named("home")),
            ),
            (
                scanning,
                list("0\tmodern\tany\t\n"),
                Radio::WantsWpa3(named("modern")),
            ),
            (
                scanning,
                list("0\tHome\tany\t\n"),
                Radio::NotHeard {
                    names: vec![named("Home")],
                    others: 3,
                },
            ),
            (
                "wpa_state=ASSOCIATING\n",
                list("0\tother\tany\t\n1\thome\tany\t[CURRENT]\n"),
                Radio::Trying(named("home")),
            ),
            ("wpa_state=INACTIVE\n", list(""), Radio::NoNetwork),
            ("FAIL", String::new(), Radio::NoNetwork),
        ];
        for (status, networks, want) in cases {
            assert_eq!(judge(status, &networks, &scan), want, "{networks}");
        }
    }

    #[test]
    fn names_are_shown_as_people_write_them() {
        let cases = [
            ("Caf\\xc3\\xa9 5", "Café 5"),
            ("a\\\\b \\\"c\\\"", "a\\b \"c\""),
            ("\\x", "\\x"),
            ("\\xzz\\", "\\xzz\\"),
            ("\\x1b[2J", " [2J"),
            ("", ""),
        ];
        for (name, want) in cases {
            assert_eq!(readable(name), want, "{name}");
        }
    }

    #[test]
    fn the_way_out_is_the_default_route() {
        let head =
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let default = "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";
        let local = "eth0\t0000FEA9\t00000000\t0001\t0\t0\t1000\t0000FFFF\t0\t0\t0\n";
        assert_eq!(
            way_out(&format!("{head}{local}{default}")).as_deref(),
            Some("wlan0")
        );
        assert_eq!(way_out(&format!("{head}{local}")), None);
        assert!(is_own_address(local) && !is_own_address(default));
        let zeros = "0".repeat(32);
        let v6 = |flags: &str, name: &str| {
            format!(
                "{zeros} 00 {zeros} 00 fe80{} 00000400 00000001 00000000 {flags} {name}\n",
                "0".repeat(28)
            )
        };
        assert_eq!(way_out_v6(&v6("00450003", "eth0")).as_deref(), Some("eth0"));
        assert_eq!(way_out_v6(&v6("00200200", "lo")), None);
        assert_eq!(way_out_v6(&v6("00000200", "eth0")), None);
    }

    #[test]
    fn a_login_page_is_told_from_the_service() {
        let answer = |status: &str, location: &str| {
            format!("HTTP/1.1 {status} X\r\nServer: x\r\nlocation: {location}\r\n\r\n<html>")
        };
        let at = |head: &str| stranger_in(head, "service.example");
        let login = answer("302", "http://login.hotel.example/?from=x");
        assert_eq!(at(&login).as_deref(), Some("login.hotel.example"));
        assert_eq!(at(&answer("301", "https://www.service.example/")), None);
        assert_eq!(at(&answer("308", "/elsewhere")), None);
        assert_eq!(
            at("HTTP/1.1 511 Network Authentication Required\r\n\r\n").as_deref(),
            Some("this network")
        );
        for head in ["", "SSH-2.0", "HTTP/1.1 200 OK\r\n\r\n<html>"] {
            assert_eq!(at(head), None, "{head:?}");
        }
    }

    #[test]
    fn a_page_is_asked_for_over_a_real_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 512];
            let length = stream.read(&mut asked).unwrap();
            stream
                .write_all(b"HTTP/1.0 302 Found\r\nLocation: http://a.example/\r\n\r\n")
                .unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let head = head_of_page(address, "service.example").unwrap();
        assert_eq!(
            stranger_in(&head, "service.example").as_deref(),
            Some("a.example")
        );
        assert!(answer.join().unwrap().contains("Host: service.example\r\n"));
    }

    #[test]
    fn the_system_is_read_from_its_files() {
        let root = std::env::temp_dir().join(format!("callbox-network-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/class/net/wlan0/device/id", "");
        write("sys/class/net/wlan0/wireless/x", "");
        write("sys/class/net/wlan0/carrier", "0\n");
        write("sys/class/net/wlan0/address", "b8:27:eb:00:00:01\n");
        write("sys/class/net/eth0/device/id", "");
        write("sys/class/net/eth0/carrier", "1\n");
        write("sys/class/net/lo/carrier", "1\n");
        write("etc/resolv.conf", "# none\nnameserver 192.0.2.1\n");
        // As wpa_supplicant does it.
        fs::create_dir_all(root.join("run/wpa_supplicant")).unwrap();
        let socket = UnixDatagram::bind(root.join("run/wpa_supplicant/wlan0")).unwrap();
        let server = std::thread::spawn(move || {
            for answer in ["wpa_state=SCANNING\n", LIST, SCAN] {
                let mut asked = [0; 64];
                let (_, from) = socket.recv_from(&mut asked).unwrap();
                socket.send_to_addr(answer.as_bytes(), &from).unwrap();
            }
        });
        let state = State::read(&root);
        server.join().unwrap();
        let want = [
            ("eth0", true, None),
            ("wlan0", false, Some(Radio::NoNetwork)),
        ];
        let links = state.links.iter();
        let found: Vec<_> = links
            .map(|l| (l.name.as_str(), l.up, l.radio.clone()))
            .collect();
        assert_eq!(found, want);
        assert_eq!(state.links[1].address, "b8:27:eb:00:00:01");
        assert!(state.has_names && state.way_out.is_none() && !state.own_address);
        fs::remove_dir_all(&root).unwrap();
    }
}
