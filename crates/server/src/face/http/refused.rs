//! What is a client told whose request is not even handed on? A status and words for each reason.

use hyper::{Request, Response, StatusCode};

use super::reply::{self, Body};

/// The method of the request that takes a refused one's place. No client's request has it: it would
/// be refused itself.
pub(super) const METHOD: &str = "REFUSED";

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NoRequest,
    BareLineFeed,
    Target,
    Fragment,
    Header,
    Host,
    Length,
    Coding,
    Version,
    LongTarget,
    LongHead,
    ManyHeaders,
}

impl Refused {
    const ALL: [Refused; 12] = [
        Refused::NoRequest,
        Refused::BareLineFeed,
        Refused::Target,
        Refused::Fragment,
        Refused::Header,
        Refused::Host,
        Refused::Length,
        Refused::Coding,
        Refused::Version,
        Refused::LongTarget,
        Refused::LongHead,
        Refused::ManyHeaders,
    ];

    /// A request that every parser takes and that says the reason.
    pub(super) fn as_request(self) -> String {
        format!("{METHOD} /{} HTTP/1.1\r\nhost: x\r\n\r\n", self as usize)
    }

    /// The reason, if `request` stands for a refused one.
    fn of<B>(request: &Request<B>) -> Option<Refused> {
        if request.method().as_str() != METHOD {
            return None;
        }
        let number: usize = request.uri().path().strip_prefix('/')?.parse().ok()?;
        Refused::ALL.get(number).copied()
    }

    fn words(self) -> (StatusCode, &'static str) {
        match self {
            Refused::NoRequest => (
                StatusCode::BAD_REQUEST,
                "this is no HTTP request: its first line is METHOD PATH VERSION, one blank between them; TLS is not spoken here",
            ),
            Refused::BareLineFeed => (StatusCode::BAD_REQUEST, "every line of the head ends with CR LF"),
            Refused::Target => {
                (StatusCode::BAD_REQUEST, "percent-encode bytes of the path that are no UTF-8, controls, and < > `")
            }
            Refused::Fragment => (StatusCode::BAD_REQUEST, "a # in a key is written %23"),
            Refused::Header => (
                StatusCode::BAD_REQUEST,
                "a header is NAME: VALUE on one line, without blanks in front of the colon and without control characters",
            ),
            Refused::Host => (StatusCode::BAD_REQUEST, "send one host header"),
            Refused::Length => (
                StatusCode::BAD_REQUEST,
                "say the length of the body once: content-length with one number, or transfer-encoding: chunked in HTTP 1.1",
            ),
            Refused::Coding => (
                StatusCode::NOT_IMPLEMENTED,
                "the only transfer-encoding is chunked, once and alone: send the body as it is",
            ),
            Refused::Version => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "HTTP 1.1 and 1.0 are spoken here"),
            Refused::LongTarget => {
                (StatusCode::URI_TOO_LONG, "the path is longer than 32 KiB: a key has at most 4096 bytes")
            }
            Refused::LongHead => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the head is longer than 32 KiB: send fewer or shorter headers",
            ),
            Refused::ManyHeaders => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "more than 64 headers: send fewer"),
        }
    }
}

/// The answer to a request that stands for a refused one; the connection's last.
pub(super) fn answer<B>(request: &Request<B>) -> Option<Response<Body>> {
    let (status, words) = Refused::of(request)?.words();
    Some(reply::closing(reply::error(status, words, None, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_survives_its_way_as_a_request() {
        for (at, refused) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(refused as usize, at);
            let request = Request::builder().method(METHOD).uri(format!("/{at}")).body(()).expect("a request");
            assert!(refused.as_request().starts_with(&format!("REFUSED /{at} HTTP/1.1\r\n")));
            assert_eq!(Refused::of(&request), Some(refused));
            let answer = answer(&request).expect("a refusal");
            assert!(answer.status().is_client_error() || answer.status().is_server_error());
            assert_eq!(answer.headers()["connection"], "close");
        }
        let real = Request::builder().uri("/0").body(()).expect("a request");
        assert!(answer(&real).is_none(), "control");
    }
}
