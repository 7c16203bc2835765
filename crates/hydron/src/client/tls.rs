//! Whom a client believes that it is the server it asked for.
//!
//! In: flags. Out: how rustls judges a server's certificate, and what is said when it judges against it. Promise: without a flag that says otherwise a certificate must be
//! signed by an authority that is known here and name the host that was asked for.

use clap::Args;
use hydron_base::{Code, Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep the authorities that everybody believes.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Names another file of authorities, as for other programs.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";

const PORT_HINT: &str = "the server's tcp_port_secure as --port, with --http its https_port";

#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// Speak TLS, to the server's `tcp_port_secure`; with --http to its `https_port`.
    #[arg(short, long)]
    pub secure: bool,
    /// Believe certificates that are signed by those in this PEM file, instead of those that the system knows.
    #[arg(long, value_name = "FILE", requires = "secure")]
    pub ca_file: Option<PathBuf>,
    /// Believe every certificate: whoever is in between can read and change everything.
    #[arg(long, requires = "secure", conflicts_with = "ca_file")]
    pub accept_invalid_certificate: bool,
}

impl TlsArgs {
    /// `None`: no TLS. Errors: CANNOT_OPEN_FILE, OPENSSL_ERROR for a file without certificates.
    pub fn config(&self) -> Result<Option<Arc<ClientConfig>>> {
        if !self.secure {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::bug(e.to_string()))?
            .dangerous();
        let verifier: Arc<dyn ServerCertVerifier> = match self.accept_invalid_certificate {
            true => Arc::new(Anybody(provider)),
            false => {
                let (named, authorities) = self.authorities()?;
                let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider)
                    .build()
                    .map_err(|e| Error::new(Code::OPENSSL_ERROR, format!("cannot check certificates: {e}")))?;
                Arc::new(Known { named, inner })
            }
        };
        Ok(Some(Arc::new(builder.with_custom_certificate_verifier(verifier).with_no_client_auth())))
    }

    /// The certificates that were named one by one, and all authorities.
    fn authorities(&self) -> Result<(Vec<CertificateDer<'static>>, RootCertStore)> {
        if let Some(path) = &self.ca_file {
            return authorities(path);
        }
        let named = std::env::var_os(BUNDLE_VARIABLE).map(PathBuf::from);
        let known = BUNDLES.iter().map(PathBuf::from);
        match named.into_iter().chain(known).find(|path| path.exists()) {
            Some(path) => authorities(&path).map(|(_, store)| (Vec::new(), store)),
            None => {
                let error = Error::new(Code::OPENSSL_ERROR, "no file of certificate authorities was found here");
                Err(error.hint("--ca-file FILE"))
            }
        }
    }
}

fn authorities(path: &Path) -> Result<(Vec<CertificateDer<'static>>, RootCertStore)> {
    let unreadable = |e: rustls::pki_types::pem::Error| {
        Error::new(Code::CANNOT_OPEN_FILE, format!("cannot read certificates from {}: {e}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let certificates: Vec<CertificateDer<'static>> = certificates.filter_map(std::result::Result::ok).collect();
    let mut store = RootCertStore::empty();
    // Bundles of systems have a few that are too old to be read.
    let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
    match added {
        0 => Err(Error::new(Code::OPENSSL_ERROR, format!("{} holds no certificate in PEM", path.display()))),
        _ => Ok((certificates, store)),
    }
}

/// Why there is no TLS with `address`.
pub fn no_handshake(address: &str, e: &std::io::Error) -> Error {
    let error = |text: String| Error::new(Code::OPENSSL_ERROR, format!("{address}: {text}"));
    match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => error(format!("the server's certificate is not good: {why:?}"))
            .hint("--ca-file with the certificate of its authority, or --accept-invalid-certificate"),
        Some(e) => error(format!("no TLS handshake: {e}")).hint(PORT_HINT),
        None => error(format!("no TLS handshake: {e}")).hint(PORT_HINT),
    }
}

/// Believes what an authority has signed, and a certificate that was named itself: one that is its own authority may not be
/// a server's by the letter of the standard, and is what `openssl req -x509` makes.
#[derive(Debug)]
struct Known {
    named: Vec<CertificateDer<'static>>,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.named.iter().any(|n| n == certificate) {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.inner.verify_server_cert(certificate, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Believes everybody, but that the handshake is signed with the key of the certificate that was shown.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
