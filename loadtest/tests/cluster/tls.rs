//! A Redis that is reached by TLS.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use seckill_loadtest::gateway::Scratch;
use seckill_loadtest::shop::Sale;

use crate::fleet::Fleet;

/// A key, and a certificate for `localhost` that it has signed itself.
fn certify(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl is installed: `make tools-redis`").success());
}

#[test]
fn a_redis_is_reached_by_tls() {
    let certificates = Scratch::new();
    certify(certificates.path());
    let file = |name: &str| certificates.path().join(name).display().to_string();
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let mut fleet = Fleet::start_over(1, |redis| {
        // Redis takes no port of its own choice.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let options =
            ["tls-cert-file", &certificate, "tls-key-file", &key, "tls-auth-clients", "no"];
        assert_eq!(redis.tell(&[&["CONFIG", "SET"], &options[..]].concat()), ["OK"]);
        assert_eq!(redis.tell(&["CONFIG", "SET", "tls-port", &port]), ["OK"]);
        vec![
            ("SECKILL_REDIS_URL", format!("rediss://localhost:{port}")),
            ("SSL_CERT_FILE", certificate.clone()),
        ]
    });
    // It is lent what it sells.
    fleet.sale(Sale::of(10));
}
