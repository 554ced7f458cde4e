//! A store is reached by TLS, and by nobody's but its server's: shown on the stand-in, with certificates that
//! openssl makes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::TLS12;

use super::faults::run;
use super::stand_in::{Asked, StandIn};
use crate::store::{Fault, Store, StoreError};

/// A key, and a certificate for one name that it has signed itself, in a folder of their own.
struct Certified(PathBuf);

impl Certified {
    fn new(name: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("seckill-tls-{}-{number}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=store", "-addext"])
            .args([&format!("subjectAltName={name}"), "-addext"])
            .args(["basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .current_dir(&folder)
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("openssl is installed: `make tools-redis`").success());
        Self(folder)
    }

    fn certificate(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    /// TLS 1.2, as servers have it inside the protocol's packets.
    fn server(&self) -> ServerConfig {
        let certificate = CertificateDer::from_pem_file(self.certificate()).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.0.join("key.pem")).unwrap();
        ServerConfig::builder_with_provider(default_provider().into())
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap()
    }
}

impl Drop for Certified {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The words of a connection string that name whom to trust.
fn trusting(certificate: &Path) -> String {
    format!("TrustServerCertificateCA={}", certificate.display())
}

#[tokio::test]
async fn a_store_is_reached_by_tls_and_everything_goes_through_it() {
    let certified = Certified::new("IP:127.0.0.1");
    for words in [trusting(&certified.certificate()), "TrustServerCertificate=true".to_owned()] {
        let server = StandIn::encrypted(certified.server()).await;
        let store = server.store_by(&words);
        store.flush(run()).await.unwrap();
        store.flush(run()).await.unwrap();
        assert_eq!((server.position(), server.times(Asked::Login)), (5, 1), "{words}");
    }
}

/// Whoever stands in between would hear the password.
#[tokio::test]
async fn a_server_that_cannot_show_that_it_is_the_one_is_told_no_password() {
    let (own, other) = (Certified::new("IP:127.0.0.1"), Certified::new("IP:127.0.0.1"));
    let elsewhere = Certified::new("DNS:elsewhere.example");
    for (served, words) in [
        // Nobody has said that this certificate is good.
        (&own, String::new()),
        (&own, "Encrypt=true".to_owned()),
        (&own, trusting(&other.certificate())),
        (&elsewhere, trusting(&elsewhere.certificate())),
    ] {
        let server = StandIn::encrypted(served.server()).await;
        let refused = server.store_by(&words).flush(run()).await.unwrap_err();
        assert_eq!(server.times(Asked::Login), 0, "{words}");
        // It is waited for, as for one that is away: certificates run out, and are replaced.
        assert!(matches!(refused, StoreError::Fault(Fault::Unavailable(_))), "{refused:?}");
        assert!(
            crate::log::causes(&refused).to_string().contains("certificate"),
            "{words}: {refused:?}"
        );
    }
}
