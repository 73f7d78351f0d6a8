//! How is a value loaded over HTTP? One GET to a fixed host, judged before it is believed.
//!
//! Scheme and host come from the configuration alone, captures only ever fill in the path, and
//! redirects are not followed: a key can't make Bellwether call another host.

mod answer;
mod keys;
mod path;
#[cfg(test)]
mod tls_tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether::{FailClass, LoadError, Loaded};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::service::Service;
use hyper::{Request, Response, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

pub use self::answer::Accept;
use self::answer::{Head, Keep};
pub use self::keys::{HttpKeys, KeyOfLine};
use self::path::{Filled, PathTemplate};
use super::{BatchFuture, CheckFuture, LoadFuture, MAX_VALUE_BYTES, Origin, SetupError, cannot_be_reached};
use crate::{Captures, Payload, Validator};

/// Shorter than the 5 s after which many servers close: a connection that the other side closes
/// just when a request leaves fails that request.
const IDLE: Duration = Duration::from_secs(4);
/// The body of a "missing" answer is read to its end if it is no longer than this, so that its
/// connection can be used again.
const DRAINED: u64 = 64 << 10;
/// Memory taken before the first byte of a body has come, at most: a declared length is a claim.
const RESERVED: usize = 64 << 10;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("bellwether/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

type Connector = HttpsConnector<HttpConnector>;

/// An HTTP origin: one scheme and host. Cheap to clone: clones share their connections.
#[derive(Clone)]
pub struct HttpOrigin {
    client: Client<Connector, Empty<Bytes>>,
    connector: Connector,
    scheme: Scheme,
    authority: Authority,
    requests: Arc<AtomicU64>,
}

impl HttpOrigin {
    /// An origin at a base URL such as `https://api.internal`. Nothing is connected yet. As many
    /// idle connections are kept as loads may run at once.
    ///
    /// # Errors
    /// The URL is no scheme and host, or the system has no trusted certificates for https.
    pub fn open(base: &str, max_concurrency: usize) -> Result<HttpOrigin, SetupError> {
        let (scheme, authority) = parse_base(base)?;
        let tls = if scheme == Scheme::HTTPS {
            system_trust()?
        } else {
            // Never used, so the system's certificates need not be read.
            tls_builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        };
        Ok(HttpOrigin::trusting(scheme, authority, max_concurrency, tls))
    }

    fn trusting(scheme: Scheme, authority: Authority, max_concurrency: usize, tls: ClientConfig) -> HttpOrigin {
        let connector = connector(tls);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(max_concurrency);
        let client = builder.build(connector.clone());
        HttpOrigin { client, connector, scheme, authority, requests: Arc::default() }
    }

    /// The view of one space.
    ///
    /// # Errors
    /// What is wrong with the path or with `accept`, and what to write instead.
    pub fn get(&self, get: HttpGet) -> Result<HttpSpace, SetupError> {
        let path = PathTemplate::parse(&get.path, &get.captures)?;
        let accept = get.accept.checked().map_err(|error| error.about("accept"))?;
        let asks_for = match &accept.content_type {
            // A checked media type is always a valid header value.
            Some(kind) => HeaderValue::from_str(kind).unwrap_or(ANYTHING),
            None => ANYTHING,
        };
        Ok(HttpSpace { origin: self.clone(), path, accept, asks_for, max_bytes: get.max_bytes })
    }

    /// Requests sent so far, over all spaces of this origin.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Can a connection be made right now? For https that includes the handshake. No request is
    /// sent: none is known to be harmless.
    pub fn check(&self) -> CheckFuture<'_> {
        let service = TowerToHyperService::new(self.connector.clone());
        let outcome = self.uri(PathAndQuery::from_static("/")).map(|uri| service.call(uri));
        async move {
            match outcome?.await {
                Ok(_) => Ok(()),
                Err(error) => Err(cannot_be_reached(error.as_ref(), "the origin")),
            }
        }
        .boxed()
    }

    /// One request, counted.
    async fn ask(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, LoadError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                cannot_be_reached(&error, "the origin")
            } else {
                LoadError::new(FailClass::Failed, "no valid HTTP answer")
            }
        })
    }

    fn uri(&self, path: PathAndQuery) -> Result<Uri, LoadError> {
        let parts = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path);
        parts.build().map_err(|_| LoadError::new(FailClass::Failed, "the key makes no valid URL"))
    }
}

impl fmt::Debug for HttpOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOrigin").field("scheme", &self.scheme).field("authority", &self.authority).finish()
    }
}

fn parse_base(base: &str) -> Result<(Scheme, Authority), SetupError> {
    let wrong = |problem: &str, hint: &str| Err(SetupError::new(format!("`http` {problem}"), hint));
    let example = "write scheme and host, e.g. \"https://api.internal\" or \"http://10.0.0.7:8080\"";
    let Ok(uri) = base.parse::<Uri>() else { return wrong("is no URL", example) };
    let parts = uri.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return wrong("lacks its scheme or its host", example);
    };
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
        return wrong(&format!("has the scheme \"{scheme}\""), "use http or https");
    }
    if authority.as_str().contains('@') {
        return wrong("has a user name or a password", "leave them out: no credentials are sent to origins");
    }
    let has_port = authority.as_str().len() > authority.host().len();
    if authority.host().is_empty() || (has_port && authority.port_u16().is_none_or(|port| port == 0)) {
        return wrong("has no valid host and port", example);
    }
    if parts.path_and_query.is_some_and(|path| path != "/") || base.contains('#') {
        return wrong("has a path", "keep scheme and host only, and put the path into the space's `get`");
    }
    Ok((scheme, authority))
}

/// How https origins are trusted: by the system's certificates.
fn system_trust() -> Result<ClientConfig, SetupError> {
    let unusable = |error: &dyn fmt::Display| {
        SetupError::new(
            format!("no trusted certificates were found on this system: {error}"),
            "install the package ca-certificates, or point SSL_CERT_FILE at a bundle",
        )
    };
    let roots = tls_builder()?.with_native_roots().map_err(|error| unusable(&error))?;
    Ok(roots.with_no_client_auth())
}

/// The provider is named, since a process in which another crate brings a second one has no default.
fn tls_builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::new(format!("TLS can't be set up: {error}"), "use http instead of https"))
}

fn connector(tls: ClientConfig) -> Connector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp)
}

/// The path of one space.
#[derive(Clone, Debug)]
pub struct HttpGet {
    path: String,
    captures: Vec<Arc<str>>,
    accept: Accept,
    max_bytes: usize,
}

impl HttpGet {
    /// A path such as `/pages/{path}`, and the names that the key's template captures.
    pub fn new<S: Into<Arc<str>>>(path: impl Into<String>, captures: impl IntoIterator<Item = S>) -> HttpGet {
        HttpGet {
            path: path.into(),
            captures: captures.into_iter().map(Into::into).collect(),
            accept: Accept::default(),
            max_bytes: MAX_VALUE_BYTES,
        }
    }

    /// Which answers are values; default: status 200.
    #[must_use]
    pub fn accept(mut self, accept: Accept) -> HttpGet {
        self.accept = accept;
        self
    }

    /// The most bytes a body may have; default 8 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> HttpGet {
        self.max_bytes = bytes;
        self
    }
}

/// One space's view of an HTTP origin.
#[derive(Clone, Debug)]
pub struct HttpSpace {
    origin: HttpOrigin,
    path: PathTemplate,
    accept: Accept,
    asks_for: HeaderValue,
    max_bytes: usize,
}

impl Origin for HttpSpace {
    fn load<'a>(&'a self, captures: Captures, have: Option<&'a Payload>) -> LoadFuture<'a> {
        self.ask(captures, have.and_then(|payload| payload.validator.as_deref())).boxed()
    }

    /// HTTP has no batches.
    fn load_many(&self, _captures: Vec<Captures>) -> Option<BatchFuture<'_>> {
        None
    }

    fn never(&self, captures: &Captures) -> bool {
        matches!(self.path.fill(captures), Filled::Never)
    }

    fn check(&self) -> CheckFuture<'_> {
        self.origin.check()
    }
}

impl HttpSpace {
    async fn ask(&self, captures: Captures, validator: Option<&Validator>) -> Result<Loaded<Payload>, LoadError> {
        let path = match self.path.fill(&captures) {
            Filled::Ask(path) => path,
            // Who asked `never` first does not come here.
            Filled::Never => return Ok(Loaded::missing()),
            Filled::Incomplete => return Err(LoadError::new(FailClass::Failed, "the key lacks a part of the path")),
        };
        let request = self.request(path, validator)?;
        let conditional = request.headers().contains_key(header::IF_NONE_MATCH)
            || request.headers().contains_key(header::IF_MODIFIED_SINCE);
        let response = self.origin.ask(request).await?;
        let (parts, body) = response.into_parts();
        match answer::head(parts.status, &parts.headers, &self.accept, conditional)? {
            Head::NotModified => Ok(Loaded::not_modified()),
            Head::Missing => {
                drain(body).await;
                Ok(Loaded::missing())
            }
            Head::Value => {
                let body = self.read(body).await?;
                answer::body(&body, &self.accept)?;
                let validator = answer::validator(&parts.headers).map(Box::new);
                let content_type = answer::content_type(&parts.headers);
                let loaded = Loaded::value(Payload { body, validator, content_type });
                Ok(match answer::keep(&parts.headers) {
                    Keep::Yes => loaded,
                    Keep::Uncacheable => loaded.uncacheable(),
                    Keep::Private => loaded.private(),
                })
            }
        }
    }

    /// Nothing of the caller's request goes into this one, only what the key says.
    fn request(&self, path: String, validator: Option<&Validator>) -> Result<Request<Empty<Bytes>>, LoadError> {
        let invalid = |_| LoadError::new(FailClass::Failed, "the key makes no valid URL");
        let path = PathAndQuery::try_from(path).map_err(invalid)?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.origin.uri(path)?;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, AGENT);
        headers.insert(header::ACCEPT, self.asks_for.clone());
        // The stronger one only: a server ignores the date when there is a tag (RFC 9110, 13.1.3).
        let compared = match validator {
            Some(Validator { etag: Some(etag), .. }) => Some((header::IF_NONE_MATCH, etag)),
            Some(Validator { last_modified: Some(date), .. }) => Some((header::IF_MODIFIED_SINCE, date)),
            _ => None,
        };
        if let Some((name, value)) = compared
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.insert(name, value);
        }
        Ok(request)
    }

    async fn read(&self, mut body: Incoming) -> Result<Bytes, LoadError> {
        let too_large = || LoadError::rejected(format!("a body of more than {} bytes", self.max_bytes));
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > self.max_bytes {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(declared.min(RESERVED));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| LoadError::new(FailClass::Failed, "the answer was cut short"))?;
            // Trailers say nothing that matters here.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.max_bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Bytes::from(bytes.into_boxed_slice()))
    }
}

/// Reads a short body to its end. Whatever happens changes nothing: the answer is known.
async fn drain(mut body: Incoming) {
    if body.size_hint().exact().is_some_and(|length| length <= DRAINED) {
        while let Some(Ok(_)) = body.frame().await {}
    }
}
