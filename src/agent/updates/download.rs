//! Downloads a package: over https, from allowed hosts, no further than its size, and on from where it broke off. It
//! lies under its own name only once its digest is right. What the server says of its file (`ETag`, `Last-Modified`) is
//! not asked for: the digest tells which bytes are right, also where the file changed between two connections.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rollout::Sha256Hex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};
use url::Url;

use crate::atomic_file::PRIVATE;
use crate::config::{Host, HostPattern, Residency};
use crate::connect::{Destinations, Refusals, http};
use crate::disk::{self, File};
use crate::trust;
use crate::update_files::{self, PACKAGE_PREFIX};
use crate::worker::Stop;

#[cfg(test)]
mod tests;

/// At most this many redirects are followed.
const MAX_REDIRECTS: usize = 5;
/// Until the server answers, lookup and TLS included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection is used for this long at most; then the download goes on with another one.
const BODY_TIMEOUT: Duration = Duration::from_mins(10);
/// What has to stay free beside the package, in bytes: the ledger writes to the same disk.
const SPARE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes per read.
const CHUNK: usize = 64 * 1024;

/// What is to be downloaded, and where to.
pub(super) struct Plan {
    pub(super) file: rollout::File,
    pub(super) dir: PathBuf,
    /// `None`: the host in the file's URL.
    pub(super) allowed_hosts: Option<Vec<HostPattern>>,
    pub(super) residency: Residency,
    /// Hosts that the package did not come from.
    pub(super) refusals: Refusals,
    /// Certificates of the authorities that servers' certificates have to come from.
    pub(super) authorities: PathBuf,
}

/// How a download ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    /// The package is there, and is the right one.
    Done,
    /// It was not wanted any more. What has come is kept.
    Stopped,
    /// It is not there; worth another try later.
    Failed {
        why: String,
        /// More of it is here than before.
        has_grown: bool,
    },
}

/// Why a download ended before its time.
enum Break {
    Stopped,
    Failed(String),
    /// All of it came, and it is another file than the release names: nothing of it is kept.
    Unfit,
}

impl Break {
    fn because(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }
}

/// Downloads the package, unless it is there. Blocks.
pub(super) fn fetch(plan: &Plan, stop: &Stop) -> Fetch {
    let part = update_files::package(&plan.dir, &plan.file.sha256).with_extension("part");
    let length = || disk::metadata(&part).map_or(0, |part| part.len);
    let before = length();
    let why = match plan.run(&part, stop) {
        Ok(()) => return Fetch::Done,
        Err(Break::Stopped) => return Fetch::Stopped,
        Err(Break::Failed(why)) => why,
        Err(Break::Unfit) => "what came has another digest than the release names: it is thrown away".to_owned(),
    };
    Fetch::Failed { why, has_grown: length() > before }
}

/// Removes all packages and parts of packages but that with this digest.
pub(super) fn remove_others(dir: &Path, digest: Option<&Sha256Hex>) {
    let keep = digest.map(|digest| format!("{PACKAGE_PREFIX}{digest}"));
    for name in disk::names(dir).into_iter().flatten() {
        let name = name.to_string_lossy();
        if name.starts_with(PACKAGE_PREFIX) && keep.as_ref().is_none_or(|keep| !name.starts_with(keep)) {
            // One that cannot be removed costs room, which is looked at anyway.
            let _ = disk::remove_file(&dir.join(name.as_ref()));
        }
    }
}

impl Plan {
    fn run(&self, part: &Path, stop: &Stop) -> Result<(), Break> {
        let package = part.with_extension("deb");
        remove_others(&self.dir, Some(&self.file.sha256));
        if self.has(&package, stop)? {
            return Ok(());
        }
        let (file, begun, hash) = self.open_part(part, stop)?;
        self.check_room(begun)?;
        match self.download(&file, begun, hash, stop) {
            // What came before may have been from another file than the one that the server has now.
            Err(Break::Unfit) if begun > 0 => self.download(&file, 0, Sha256::new(), stop)?,
            other => other?,
        }
        let kept = file.sync_all().and_then(|()| disk::rename(part, &package));
        kept.and_then(|()| crate::atomic_file::sync_parent(&package)).map_err(|error| local(&error))
    }

    /// Downloads what is missing after `begun` bytes, which have this hash.
    fn download(&self, file: &File, mut begun: u64, mut hash: Sha256, stop: &Stop) -> Result<(), Break> {
        let (mut response, continues) = self.request(begun)?;
        if !continues {
            file.set_len(0).map_err(|error| local(&error))?;
            (begun, hash) = (0, Sha256::new());
        }
        self.receive(&mut response, file, begun, &mut hash, stop)?;
        if Sha256Hex::from_digest(&hash.finalize()) == self.file.sha256 {
            return Ok(());
        }
        file.set_len(0).map_err(|error| local(&error))?;
        Err(Break::Unfit)
    }

    /// Whether the package is there already. Another one under its name is removed.
    fn has(&self, package: &Path, stop: &Stop) -> Result<bool, Break> {
        let Ok(mut file) = File::open_untrusted(package) else { return Ok(false) };
        let (size, hash) = hash_of(&mut file, self.file.size, stop)?;
        if size == self.file.size && Sha256Hex::from_digest(&hash.finalize()) == self.file.sha256 {
            return Ok(true);
        }
        disk::remove_file(package).map_err(|error| local(&error))?;
        Ok(false)
    }

    /// What came before: the file at its end, its length, and its hash so far.
    fn open_part(&self, part: &Path, stop: &Stop) -> Result<(File, u64, Sha256), Break> {
        let mut file = File::append(part, PRIVATE).map_err(|error| local(&error))?;
        // A download that was stopped ends when its server says something, and may still write until then.
        file.try_lock().map_err(|_| Break::because("the download before this one is still ending"))?;
        let (size, hash) = hash_of(&mut file, self.file.size, stop)?;
        if size < self.file.size {
            return Ok((file, size, hash));
        }
        file.set_len(0).map_err(|error| local(&error))?;
        Ok((file, 0, Sha256::new()))
    }

    fn check_room(&self, begun: u64) -> Result<(), Break> {
        let free = disk::free_bytes(&self.dir).map_err(|error| local(&error))?;
        let needed = self.file.size - begun + SPARE_BYTES;
        if free >= needed {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
        let (free, needed, dir) = (free / (1024 * 1024), mib(needed), self.dir.display());
        Err(Break::because(format!("the disk is full: {free} MiB are free in {dir}, {needed} MiB are needed")))
    }

    /// Asks for what is missing after `begun` bytes. Whether the server goes on there, or begins anew.
    fn request(&self, begun: u64) -> Result<(Response<Body>, bool), Break> {
        let mut url = Url::parse(&self.file.url).map_err(|_| Break::because("the release names no usable URL"))?;
        let destinations = self.destinations(&url);
        let agent = agent(&self.authorities, &destinations);
        for _ in 0..=MAX_REDIRECTS {
            if !is_allowed(&url, &destinations) {
                let host = url.host_str().unwrap_or_default();
                return Err(Break::because(format!(
                    "{host} is not an https server that packages may come from: see [update] allowed-hosts"
                )));
            }
            let mut request = agent.get(url.as_str());
            if begun > 0 {
                request = request.header("Range", format!("bytes={begun}-"));
            }
            let response = call(request).map_err(|error| transport_error(&error))?;
            let status = response.status();
            match status.as_u16() {
                200 => return Ok((response, false)),
                206 if begun > 0 && goes_on_at(&response, begun) => return Ok((response, true)),
                206 => {
                    return Err(Break::because("the server sends another part of the package than it was asked for"));
                }
                416 => return Err(Break::because("the server's file is shorter than the release says")),
                301 | 302 | 303 | 307 | 308 => {
                    let to = response.headers().get("Location").and_then(|to| to.to_str().ok());
                    let to = to.and_then(|to| url.join(to).ok());
                    url = to.ok_or_else(|| Break::because("the server redirects to nowhere"))?;
                }
                429 | 500..=599 => {
                    return Err(Break::because(format!("the server is busy (HTTP {})", status.as_u16())));
                }
                code => return Err(Break::because(format!("the server does not have the package (HTTP {code})"))),
            }
        }
        Err(Break::because("the server redirects in circles"))
    }

    /// Where the package may come from.
    fn destinations(&self, url: &Url) -> Destinations {
        let named = || Host::parse(url.host_str().unwrap_or_default()).ok();
        let hosts = self.allowed_hosts.clone();
        let hosts = hosts.unwrap_or_else(|| named().map(HostPattern::Exact).into_iter().collect());
        Destinations::new(hosts, &self.residency, self.refusals.clone())
    }

    fn receive(
        &self,
        response: &mut Response<Body>,
        file: &File,
        begun: u64,
        hash: &mut Sha256,
        stop: &Stop,
    ) -> Result<(), Break> {
        let mut size = begun;
        let announced = response.headers().get("Content-Length").and_then(|length| length.to_str().ok()?.parse().ok());
        if let Some(announced) = announced.filter(|length: &u64| *length != self.file.size - begun) {
            let (theirs, ours) = (begun.saturating_add(announced), self.file.size);
            return Err(Break::because(format!("the server's file has {theirs} bytes, and the release says {ours}")));
        }
        let (mut reader, mut chunk) = (response.body_mut().as_reader(), vec![0; CHUNK]);
        while size < self.file.size {
            if stop.is_requested() {
                return Err(Break::Stopped);
            }
            let room = usize::try_from(self.file.size - size).unwrap_or(CHUNK).min(CHUNK);
            let length = match reader.read(&mut chunk[..room]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return Err(Break::because("the connection broke off: it goes on from there")),
                Ok(_) if stop.is_requested() => return Err(Break::Stopped),
                Ok(length) => length,
            };
            file.write_all(&chunk[..length]).map_err(|error| local(&error))?;
            hash.update(&chunk[..length]);
            size += length as u64;
        }
        Ok(())
    }
}

fn is_allowed(url: &Url, destinations: &Destinations) -> bool {
    let Some(host) = url.host_str().and_then(|host| Host::parse(host).ok()) else { return false };
    destinations.allows_host(&host) && url.scheme() == "https" && url.username().is_empty() && url.password().is_none()
}

/// Whether a partial answer begins at this byte.
fn goes_on_at(response: &Response<Body>, begun: u64) -> bool {
    let range = response.headers().get("Content-Range").and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {begun}-")))
}

/// Length and hash of what is in the file, up to `longest` bytes.
fn hash_of(file: &mut File, longest: u64, stop: &Stop) -> Result<(u64, Sha256), Break> {
    let (mut size, mut hash, mut chunk) = (0, Sha256::new(), vec![0; CHUNK]);
    while size <= longest {
        if stop.is_requested() {
            return Err(Break::Stopped);
        }
        let length = file.read(&mut chunk).map_err(|error| local(&error))?;
        if length == 0 {
            break;
        }
        hash.update(&chunk[..length]);
        size += length as u64;
    }
    Ok((size, hash))
}

fn local(error: &io::Error) -> Break {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    Break::because(if is_full { "the disk is full".to_owned() } else { format!("it cannot be kept: {error}") })
}

fn agent(authorities: &Path, destinations: &Destinations) -> Agent {
    let roots = CertificateDer::pem_file_iter(authorities).into_iter().flatten().filter_map(Result::ok);
    let roots: Vec<_> = roots.map(|der| Certificate::from_der(&der).to_owned()).collect();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        // Each redirect is checked first.
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_resolve(Some(ANSWER_TIMEOUT))
        .timeout_connect(Some(ANSWER_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .timeout_recv_body(Some(BODY_TIMEOUT))
        .proxy(None)
        .build();
    http::agent(config, destinations)
}

/// Sends a request, and waits for the head of its answer.
fn call(request: RequestBuilder<WithoutBody>) -> Result<Response<Body>, ureq::Error> {
    #[cfg(feature = "sim")]
    if crate::worker::simulated::blocking::is_blocking() {
        return crate::connect::simulated::packages::call(&request, (ANSWER_TIMEOUT, BODY_TIMEOUT));
    }
    request.call()
}

/// Why there was no answer.
fn transport_error(error: &ureq::Error) -> Break {
    if let Some(why) = http::refusal(error) {
        return Break::because(why.to_string());
    }
    let text = error.to_string();
    match trust::certificate_advice(&text) {
        Some(advice) => Break::because(advice),
        None => Break::because(format!("the server cannot be reached: {text}")),
    }
}
