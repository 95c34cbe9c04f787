//! What browsers ask before they let a page talk to us, and what pages may read of an answer (the Fetch standard's CORS
//! protocol). Off unless the config names origins; cookies and other credentials of a browser are never asked for.

use std::future::Future;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, ORIGIN, VARY,
};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use interlingua_engine::Refusal;

use crate::body::Answer;
use crate::config::{CorsSection, Mistakes};
use crate::respond::Fault;

/// What our paths answer to.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// What an answer to a preflight depends on.
const VARIES: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// Headers of an answer that every page may read.
const ALWAYS_READ: [HeaderName; 4] = [CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LAST_MODIFIED];

/// Pages of which origins may talk to us.
pub(crate) struct Cors {
    /// None: any.
    origins: Option<Vec<String>>,
    max_age: HeaderValue,
}

impl Cors {
    /// None if no origin is named.
    pub(crate) fn new(section: &CorsSection, mistakes: &mut Mistakes) -> Option<Cors> {
        if section.origins.is_empty() {
            return None;
        }
        for origin in section.origins.iter().filter(|origin| !is_origin(origin)) {
            let help = "for example `https://app.example.com`, `http://localhost:5173`, or `*` for any";
            mistakes.add_with_help(
                origin,
                "an origin is a scheme and a host, and no path",
                Some(help.to_owned()),
            );
        }
        let any = section.origins.iter().any(|origin| origin.as_str() == "*");
        let origins = section.origins.iter().map(|origin| origin.value.to_ascii_lowercase()).collect();
        let max_age = HeaderValue::from(section.max_age.0.as_secs());
        Some(Cors { origins: (!any).then_some(origins), max_age })
    }

    /// Answers a preflight itself, and says what pages may read of every other answer.
    pub(crate) async fn answer<F: Future<Output = Response<Answer>>>(
        &self,
        request: Request<Incoming>,
        handle: impl FnOnce(Request<Incoming>) -> F,
    ) -> Response<Answer> {
        let Some(origin) = request.headers().get(ORIGIN).cloned() else { return handle(request).await };
        let allowed = self.allows(&origin);
        if request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return self.preflight(request.headers(), origin, allowed);
        }
        let mut response = handle(request).await;
        if allowed {
            expose(response.headers_mut());
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
        response
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Some(origins) = &self.origins else { return true };
        origins.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
    }

    fn preflight(&self, asked: &HeaderMap, origin: HeaderValue, allowed: bool) -> Response<Answer> {
        if !allowed {
            let mut refusal = Refusal::invalid("pages of this origin are not allowed here", "origin");
            refusal.status = StatusCode::FORBIDDEN.as_u16();
            refusal.param = None;
            refusal.code = Some("origin_not_allowed".to_owned());
            let mut response = Fault::from(refusal).response();
            response.headers_mut().insert(VARY, VARIES);
            return response;
        }
        let mut response = Response::new(Answer::whole(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        // Whatever the page wants to say: unknown headers go no further than here.
        if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        // A public page that talks to a gateway in a private network.
        if asked.contains_key("access-control-request-private-network") {
            headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        headers.insert(VARY, VARIES);
        response
    }
}

/// `null` is what files and sandboxes say.
fn is_origin(origin: &str) -> bool {
    if origin == "*" || origin == "null" {
        return true;
    }
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '*', '@', ' '])
}

/// Names the headers that an answer carries and that pages would not see.
fn expose(headers: &mut HeaderMap) {
    let names: Vec<&str> =
        headers.keys().filter(|name| !ALWAYS_READ.contains(name)).map(HeaderName::as_str).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", "))
        && !names.is_empty()
    {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
}
