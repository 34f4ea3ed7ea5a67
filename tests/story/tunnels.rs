//! A device behind a router: it keeps up an SSH tunnel to a relay, where TLS
//! ends, and the service comes in by that.
//!
//! ```text
//!  simulator ══wss══▶ Front (TLS) ──tcp──▶ sshd ══ssh══▶ ssh, started by the device ──▶ device
//! ```
//!
//! All of it is real and on this machine: OpenSSH's server and client with
//! keys of their own, in a folder of the story's. Without sshd (Debian:
//! openssh-server) these stories cannot be told; they fail and say so.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use callbox::call::Phase;
use callbox::edge::tunnel::Timing;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::kit::{
    Device, Folder, Installed, Service, address, is_heard, ms, poll, service_with, talks,
};
use crate::sound::LINE_RATE;

/// Times an operator would find short.
fn hurried() -> Timing {
    Timing {
        settle: ms(200),
        again: ms(500),
        pause: ms(200),
        pause_max: ms(2000),
        patience: ms(1500),
        trip: ms(1500),
        ..Timing::default()
    }
}

#[test]
fn a_call_through_an_ssh_tunnel_outlives_its_death() {
    let (service, relay, mut device) = behind_a_router();
    device.press();
    device.wait_for(Phase::Answered);
    let at = device.hears();
    let call = service.call();
    assert!(call.url.as_ref().unwrap().starts_with(&relay.url));
    is_heard(&device, &service, &call.id);

    kill(process(&device), "KILL");
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Answered);
    device.hears_after(at + LINE_RATE as usize);
    is_heard(&device, &service, &call.id);
    assert_eq!(device.counter("tunnel_starts"), 2);
    assert_eq!(device.counter("tunnel_ends"), 1);

    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    let ssh = process(&device);
    device.stop();
    assert!(is_gone(ssh), "the tunnel program outlived the device");
}

/// It is still there, its connections are open, and nothing comes through.
#[test]
fn an_ssh_tunnel_that_hangs_in_mid_call_is_replaced() {
    let (service, _relay, mut device) = behind_a_router();
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let call = service.call();

    let hung = process(&device);
    kill(hung, "STOP");
    device.wait_for(Phase::OneWay);
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Answered);
    is_heard(&device, &service, &call.id);
    assert_eq!(device.counter("tunnel_hangs"), 1);
    assert!(is_gone(hung));

    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
}

/// The relay goes away between two calls, and comes back.
#[test]
fn a_relay_that_comes_back_is_found_again() {
    let (service, relay, mut device) = behind_a_router();
    let Relay { sshd, front, .. } = relay;
    let (folder, listen) = (Arc::clone(&sshd.folder), sshd.listen.clone());
    drop(sshd);
    device.wait_until("down", |d| state(d).starts_with("down"));
    let said = state(&device);
    assert!(said.contains("ended with status 255"), "{said}");
    let _sshd = Sshd::start(folder, &listen);
    device.wait_until("up again", |d| state(d) == "up");
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    assert!(service.handle.hang_up(&service.call().id));
    device.record();
    drop(front);
}

#[test]
fn a_tunnel_program_that_is_of_no_use_is_told_and_tried_again() {
    let cases = [
        (
            "[\"/no/such/tunnel\"]",
            "cannot start /no/such/tunnel: No such file",
        ),
        (
            "[\"/etc/passwd\"]",
            "cannot start /etc/passwd: Permission denied",
        ),
        (
            "[\"sh\", \"-c\", \"echo no route to {port}; exit 3\"]",
            "ended with status 3 and said: no route to",
        ),
        ("[\"sh\", \"-c\", \"yes flood\"]", "round trips fail"),
        ("[\"sh\", \"-c\", \"read password < /dev/tty\"]", "/dev/tty"),
    ];
    for (command, want) in cases {
        let service = Service::start(service_with(talks(1)));
        let installed = Installed {
            ingress: format!(
                "mode = \"command\"\npublic_url = \"wss://127.0.0.1:1\"\nlisten = \"{}\"\n\
                 command = {command}",
                address()
            ),
            ..Installed::plain(service.handle.base_url())
        };
        let device = Device::start_as(&installed, Arc::new(Folder::new()), |setup| {
            setup.tunnel.as_mut().unwrap().timing = Timing {
                up_within: ms(1000),
                ..hurried()
            };
        });
        device.wait_until(want, |d| state(d).contains(want));
        device.wait_until("another try", |d| d.counter("tunnel_starts") > 1);
        let starts = device.counter("tunnel_starts");
        assert!(starts < 8, "{starts} starts within seconds: {command}");
    }
}

fn state(device: &Device) -> String {
    let status = device.status();
    status["tunnel"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn process(device: &Device) -> u32 {
    let status = device.status();
    let process = status["tunnel"]["process"].as_u64();
    process.unwrap_or_else(|| panic!("no process: {status}")) as u32
}

fn kill(process: u32, signal: &str) {
    let done = Command::new("kill")
        .args(["-s", signal, &process.to_string()])
        .status();
    assert!(done.unwrap().success());
}

fn is_gone(process: u32) -> bool {
    !Path::new(&format!("/proc/{process}")).exists()
}

/// A device whose calls come in by a relay, with its tunnel up.
fn behind_a_router() -> (Service, Relay, Device) {
    let relay = Relay::start();
    let mut config = service_with(talks(40));
    config.service.extra_ca_pem = Some(relay.certificate.clone());
    config.service.redial_after_loss = Some(ms(300));
    let service = Service::start(config);
    let folder = Arc::new(Folder::new());
    let ca = folder.write("ca.pem", &relay.certificate);
    let listen: SocketAddr = address().parse().unwrap();
    let installed = Installed {
        ingress: format!(
            "mode = \"command\"\npublic_url = \"{}\"\nlisten = \"{listen}\"\ncommand = {:?}",
            relay.url,
            relay.command(listen)
        ),
        service: format!("ca_file = \"{}\"", ca.display()),
        ..Installed::plain(service.handle.base_url())
    };
    let device = Device::start_as(&installed, folder, |setup| {
        setup.tunnel.as_mut().unwrap().timing = hurried();
    });
    device.wait_until("the tunnel is up", |d| state(d) == "up");
    (service, relay, device)
}

/// A machine on the internet, as far as the story goes.
struct Relay {
    sshd: Sshd,
    front: Front,
    url: String,
    /// Where the tunnel comes out.
    inner: String,
    certificate: String,
}

impl Relay {
    fn start() -> Self {
        let (listen, inner, outer) = (address(), address(), address());
        let sshd = Sshd::start(Arc::new(Folder::new()), &listen);
        let host = outer.split(':').next().unwrap();
        let certified = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let certificate = certified.cert.pem();
        let front = Front::start(&outer, &inner, &certified);
        Self {
            sshd,
            front,
            url: format!("wss://{outer}"),
            inner,
            certificate,
        }
    }

    /// What the installer would write.
    fn command(&self, device: SocketAddr) -> Vec<String> {
        let folder = &self.sshd.folder;
        let option = |text: String| ["-o".to_owned(), text];
        let (host, port) = self.sshd.listen.split_once(':').unwrap();
        let known = folder.file("known_hosts");
        let mut words: Vec<String> = ["ssh", "-NT", "-F", "none", "-p", port]
            .map(str::to_owned)
            .into();
        words.extend(["-i".to_owned(), folder.file("key").display().to_string()]);
        words.extend(option("BatchMode=yes".to_owned()));
        words.extend(option("ExitOnForwardFailure=yes".to_owned()));
        words.extend(option("ServerAliveInterval=15".to_owned()));
        words.extend(option(format!("UserKnownHostsFile={}", known.display())));
        words.extend([
            "-R".to_owned(),
            format!("{}:{}:{{port}}", self.inner, device.ip()),
            host.to_owned(),
        ]);
        words
    }
}

/// OpenSSH's server, with a folder and keys of its own.
struct Sshd {
    child: Child,
    folder: Arc<Folder>,
    listen: String,
}

impl Sshd {
    fn start(folder: Arc<Folder>, listen: &str) -> Self {
        let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"];
        let sshd = sshd.into_iter().find(|path| Path::new(path).exists());
        let sshd = sshd.expect("no sshd here: install openssh-server (board/setup does)");
        for key in ["host", "key"] {
            let path = folder.file(key);
            if !path.exists() {
                let made = Command::new("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                    .arg(&path)
                    .status();
                assert!(made.expect("ssh-keygen").success());
            }
        }
        let (host, port) = listen.split_once(':').unwrap();
        let public = std::fs::read_to_string(folder.file("host.pub")).unwrap();
        folder.write("known_hosts", &format!("[{host}]:{port} {public}"));
        let config = format!(
            "ListenAddress {listen}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             GatewayPorts clientspecified\nLogLevel VERBOSE\n",
            folder.file("host").display(),
            folder.file("key.pub").display(),
        );
        let config = folder.write("sshd_config", &config);
        // Debian's service makes it; whoever is not root needs none.
        _ = std::fs::create_dir_all("/run/sshd");
        let mut child = Command::new(sshd)
            .args(["-D", "-e", "-f"])
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        // Read on, or it would wait for a reader some day.
        std::thread::spawn(move || {
            log.lines()
                .map_while(Result::ok)
                .for_each(|l| eprintln!("sshd: {l}"))
        });
        poll(
            || TcpStream::connect(listen).ok(),
            || format!("sshd does not listen at {listen}"),
        );
        Self {
            child,
            folder,
            listen: listen.to_owned(),
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Those who serve a client are processes of their own, and lose it only
        // when they are ended as well.
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        for child in children.split_whitespace() {
            kill(child.parse().unwrap(), "TERM");
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Ends TLS and passes on what is in it.
struct Front {
    _stop: oneshot::Sender<()>,
}

impl Front {
    fn start(outer: &str, inner: &str, certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Self {
        let chain = vec![CertificateDer::from(certified.cert.der().to_vec())];
        let key = certified.signing_key.serialize_pem();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (stop, stopped) = oneshot::channel::<()>();
        let (outer, inner) = (outer.to_owned(), inner.to_owned());
        let (ready, started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::bind(&outer).await.unwrap();
                ready.send(()).unwrap();
                let serve = async {
                    loop {
                        let (socket, _) = listener.accept().await.unwrap();
                        let (acceptor, inner) = (acceptor.clone(), inner.clone());
                        tokio::spawn(async move {
                            let mut near = acceptor.accept(socket).await.ok()?;
                            let mut far = tokio::net::TcpStream::connect(inner).await.ok()?;
                            copy_bidirectional(&mut near, &mut far).await.ok()
                        });
                    }
                };
                tokio::select! {
                    () = serve => {}
                    // Dropped by the story: time to stop.
                    _ = stopped => {}
                }
            });
        });
        started.recv_timeout(Duration::from_secs(10)).unwrap();
        Self { _stop: stop }
    }
}
