//! Both sides of a handshake, with authorities and certificates made on the spot.

use std::{fs, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{Endpoint, Lane, Transport as _, client::ClientStream, tcp};

/// Writes `ca.crt`, and for each name a certificate and a key that the authority vouches for.
fn authority(dir: &Path, names: &[&str]) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.join("ca.crt"), certificate.pem()).unwrap();
    fs::write(dir.join("ca.key"), key.serialize_pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for name in names {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![format!("{name}.example")]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(dir.join(format!("{name}.crt")), certificate.pem()).unwrap();
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn settings(dir: &Path, name: &str) -> TlsSettings {
    let file = |name: String| dir.join(name).to_str().unwrap().to_owned();
    TlsSettings {
        cert_file: file(format!("{name}.crt")),
        key_file: file(format!("{name}.key")),
        ca_cert_file: file("ca.crt".to_owned()),
        session_caching: true,
        session_cache_size: 100,
        ..TlsSettings::default()
    }
}

/// What both sides say of a connection from `client` to `server`, after a word each way.
async fn meet(server: &TlsSettings, client: &TlsSettings) -> Result<(TlsPipe, TlsPipe), String> {
    let (server, client) = (server.build().unwrap(), client.build().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("any.name").unwrap();
    let at = listener.local_addr().unwrap();
    let (accepted, connected) = tokio::join!(
        async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut pipe = TlsPipe::accept(stream, server.server).await.map_err(|e| e.to_string())?;
            pipe.write_all(b"hello").await.map_err(|e| e.to_string())?;
            Ok::<_, String>(pipe)
        },
        async {
            let stream = TcpStream::connect(at).await.unwrap();
            let mut pipe = TlsPipe::connect(stream, client.client, name).await.map_err(|e| e.to_string())?;
            let mut got = [0; 5];
            pipe.read_exact(&mut got).await.map_err(|e| e.to_string())?;
            Ok::<_, String>(pipe)
        }
    );
    Ok((accepted?, connected?))
}

#[tokio::test]
async fn certificates_of_the_same_authority_are_trusted_under_any_name() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), &["node", "client"]);
    let (node, client) = (settings(dir.path(), "node"), settings(dir.path(), "client"));
    meet(&node, &client).await.unwrap();

    let old = TlsSettings { protocols: "TLSv1.1 TLSv1.2".to_owned(), ..client.clone() };
    meet(&node, &old).await.unwrap();
    let new = TlsSettings { protocols: "tlsv1.3".to_owned(), ..node.clone() };
    meet(&new, &old).await.unwrap_err();

    // The authority by its directory, where other files lie too.
    let by_directory = TlsSettings {
        ca_cert_file: String::new(),
        ca_cert_dir: dir.path().to_str().unwrap().to_owned(),
        ..node.clone()
    };
    meet(&by_directory, &client).await.unwrap();
}

#[tokio::test]
async fn strangers_are_refused_on_both_sides() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    authority(ours.path(), &["node"]);
    authority(theirs.path(), &["client"]);
    let (node, stranger) = (settings(ours.path(), "node"), settings(theirs.path(), "client"));
    meet(&node, &stranger).await.unwrap_err();

    // One who trusts us but shows what we do not trust.
    let our_ca = node.ca_cert_file.clone();
    let trusting = TlsSettings { ca_cert_file: our_ca, ..stranger };
    meet(&node, &trusting).await.unwrap_err();
    let open = TlsSettings { auth_clients: ClientAuth::No, ..node.clone() };
    meet(&open, &trusting).await.unwrap();
    let optional = TlsSettings { auth_clients: ClientAuth::Optional, ..node };
    meet(&optional, &trusting).await.unwrap_err();
}

#[tokio::test]
async fn one_certificate_may_be_its_own_authority() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), &[]);
    meet(&settings(dir.path(), "ca"), &settings(dir.path(), "ca")).await.unwrap();
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), &["node", "other"]);
    let good = settings(dir.path(), "node");
    let refusal = |settings: TlsSettings| settings.build().unwrap_err().to_string();
    assert_eq!(refusal(TlsSettings::default()), "No tls-cert-file configured!");
    assert_eq!(
        refusal(TlsSettings { key_file: String::new(), ..good.clone() }),
        "No tls-key-file configured!"
    );
    let no_authority = TlsSettings { ca_cert_file: String::new(), ..good.clone() };
    assert!(refusal(no_authority.clone()).starts_with("Either tls-ca-cert-file or tls-ca-cert-dir"));
    TlsSettings { auth_clients: ClientAuth::No, ..no_authority.clone() }.build().unwrap();
    assert!(
        refusal(TlsSettings { auth_clients: ClientAuth::No, dials: true, ..no_authority })
            .starts_with("Either")
    );
    let missing = TlsSettings { cert_file: "/nonexistent".to_owned(), ..good.clone() };
    assert!(refusal(missing).starts_with("Failed to load certificate: /nonexistent: "));
    let swapped = TlsSettings { cert_file: good.key_file.clone(), ..good.clone() };
    assert!(refusal(swapped).contains("no certificate in it"));
    let foreign_key = TlsSettings { key_file: settings(dir.path(), "other").key_file, ..good.clone() };
    assert!(refusal(foreign_key).starts_with("Failed to configure TLS: "));
    assert!(refusal(TlsSettings { key_file_pass: "x".to_owned(), ..good.clone() }).contains("not supported"));
    for protocols in ["TLSv1.1", "SSLv3 TLSv1.2"] {
        let settings = TlsSettings { protocols: protocols.to_owned(), ..good.clone() };
        assert!(refusal(settings).starts_with("Invalid tls-protocols"));
    }
    let suites = |names: &str| TlsSettings { ciphersuites: names.to_owned(), ..good.clone() };
    suites("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384").build().unwrap();
    assert!(refusal(suites("TLS_NO_SUCH")).contains("TLS_NO_SUCH"));
    let ciphers = |names: &str| TlsSettings { ciphers: names.to_owned(), ..good.clone() };
    ciphers("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305").build().unwrap();
    ciphers("HIGH:!aNULL").build().unwrap();
    assert!(refusal(ciphers("DES-CBC3-SHA")).contains("DES-CBC3-SHA"));
}

#[tokio::test]
async fn a_pipe_moves_between_runtimes_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), &["node", "client"]);
    let (mut here, there) =
        meet(&settings(dir.path(), "node"), &settings(dir.path(), "client")).await.unwrap();
    here.write_all(b"before").await.unwrap();
    let detached = ClientStream::Tls(Box::new(there)).detach().unwrap();
    let echoed = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let mut there = detached.attach().unwrap();
            let mut got = [0; 12];
            there.read_exact(&mut got).await.unwrap();
            there.write_all(&got).await.unwrap();
            let mut rest = Vec::new();
            there.read_to_end(&mut rest).await.unwrap();
            rest
        })
    });
    here.write_all(b" after").await.unwrap();
    let mut got = [0; 12];
    here.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"before after");
    // Goodbye is said, else the other side would take the end for an error.
    drop(here);
    assert_eq!(echoed.join().unwrap(), b"");
}

#[tokio::test]
async fn what_the_socket_does_not_take_is_sent_by_reading() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), &["node", "client"]);
    let (here, mut there) =
        meet(&settings(dir.path(), "node"), &settings(dir.path(), "client")).await.unwrap();
    let mut here = ClientStream::Tls(Box::new(here));
    let block = vec![7; 1 << 16];
    let mut written = 0;
    while here.is_flushed() {
        written += here.try_write(&block).unwrap_or(0);
    }
    let reading = tokio::spawn(async move {
        let mut got = vec![0; written];
        there.read_exact(&mut got).await.unwrap();
        there.write_all(b"!").await.unwrap();
        got.iter().all(|&byte| byte == 7)
    });
    let mut answer = [0];
    here.read_exact(&mut answer).await.unwrap();
    assert!(here.is_flushed() && reading.await.unwrap());
}

#[tokio::test]
async fn links_are_encrypted_when_they_are_to_be() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), &["node"]);
    let configs = settings(dir.path(), "node").build().unwrap();
    let shared = Arc::new(TlsShared::default());
    let transport = TcpOrTls::new(shared.clone());
    let listener = TcpListener::from_std(tcp::listen(&Endpoint::new("127.0.0.1", 0), 8).unwrap()).unwrap();
    let at = Endpoint::new("127.0.0.1", listener.local_addr().unwrap().port());
    shared.set(Some(configs.clone()), false);
    transport.dial(&at).await.unwrap();
    listener.accept().await.unwrap();

    shared.set(Some(configs.clone()), true);
    let (linked, accepted) = tokio::join!(transport.dial(&at), async {
        let (stream, _) = listener.accept().await.unwrap();
        TlsPipe::accept(stream, configs.server.clone()).await.unwrap()
    });
    let (mut link, mut accepted) = (linked.unwrap(), accepted);
    let mut stream = link.open(Lane::Control).unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut got = [0; 4];
    accepted.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"ping");
    shared.set(None, true);
    assert!(transport.dial(&at).await.is_err());
}
