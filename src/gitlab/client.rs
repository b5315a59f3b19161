//! Our transport under the gitlab crate's endpoint values: deadlines, safe retries, rate limits, paging, metrics.
//!
//! The crate's own client drops response headers, stops paging at a short page and follows a moved project's
//! redirect by turning a POST into a GET; its endpoint values are what we use.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use gitlab::api::{ApiError, BodyError, Endpoint, QueryParams, RestClient};
use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Error as _};

use super::error::GitlabError;
use super::rate_limit::Window;
use crate::clock::Clock;
use crate::domain::this_machine::is_here;

/// Longest address that we send; servers refuse much longer ones, and the gitlab crate panics above 64 KiB.
const LONGEST_ADDRESS: usize = 8_000;

/// How to reach a GitLab.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The instance, with a path prefix where it has one.
    pub url: Url,
    /// An access token with scope `api`.
    pub token: SecretString,
    /// PEM trust anchors beside the system's.
    pub extra_ca: Option<Vec<u8>>,
    /// How patient calls are.
    pub patience: Patience,
}

/// How long calls wait and how often they are tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Deadline of one try, answer's body included.
    pub call: Duration,
    /// Tries of a call that may be repeated.
    pub tries: usize,
    /// First pause between tries; it doubles.
    pub pause: Duration,
    /// Longest `Retry-After` that a call waits out itself.
    pub wait: Duration,
    /// Issues created in any 60 seconds; GitLab.com allows 200 a project and user.
    pub creations_a_minute: usize,
    /// Comments written in any 60 seconds; GitLab.com allows 60 a user.
    pub comments_a_minute: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(20),
            tries: 4,
            pause: Duration::from_millis(250),
            wait: Duration::from_secs(10),
            creations_a_minute: 180,
            comments_a_minute: 50,
        }
    }
}

/// What one call was, for metrics and logs.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// The method.
    pub method: Method,
    /// The answer's status; none where no answer came.
    pub status: Option<StatusCode>,
    /// `RateLimit-Remaining`, where GitLab said so.
    pub remaining: Option<u64>,
    /// GitLab's clock minus ours, in seconds, from the `Date` header.
    pub clock_skew: Option<i64>,
    /// From sending to the last byte.
    pub took: Duration,
}

/// Hears of every call that was made.
pub type Observer = Arc<dyn Fn(&CallReport) + Send + Sync>;

/// A GitLab that is spoken to with one token.
#[derive(Clone)]
pub struct Gitlab {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    api: Url,
    token: SecretString,
    patience: Patience,
    clock: Clock,
    observer: Observer,
    creations: Window,
    comments: Window,
}

/// GitLab's largest page.
const ROWS_A_PAGE: usize = 100;

/// An answer that GitLab gave.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status, never an error's.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as `T`.
    ///
    /// # Errors
    ///
    /// [`GitlabError::Shape`] where it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, GitlabError> {
        serde_json::from_slice(&self.body).map_err(GitlabError::Shape)
    }

    fn tells_of_pages(&self) -> bool {
        self.headers.contains_key("x-next-page") || self.headers.contains_key(header::LINK)
    }

    /// The number of the page after this one of so many rows; GitLab may leave `x-next-page` empty on the last one. Where a
    /// proxy kept all that GitLab says of pages, a full one is not taken for the last.
    ///
    /// # Errors
    ///
    /// Where there is more that no number leads to: a list that ends too early would be taken for the whole.
    fn next_page(&self, number: u64, rows: usize) -> Result<Option<u64>, GitlabError> {
        if !self.tells_of_pages() {
            return Ok((rows == ROWS_A_PAGE).then_some(number + 1));
        }
        if let Some(page) = self.headers.get("x-next-page").and_then(|value| value.to_str().ok()) {
            return Ok(page.trim().parse().ok());
        }
        let links = self.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
        let mut links = links.flat_map(|links| links.split(','));
        let Some(next) = links.find(|part| part.contains("rel=\"next\"")) else { return Ok(None) };
        let address = next.split(['<', '>']).nth(1).unwrap_or_default();
        let query = address.split_once('?').unwrap_or_default().1;
        let number = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "page");
        let number = number.and_then(|(_, number)| number.parse().ok());
        let unread =
            || serde_json::Error::custom(format_args!("a list goes on at {address}, which names no page"));
        number.map(Some).ok_or_else(|| GitlabError::Shape(unread()))
    }
}

/// An endpoint of GitLab that the crate has no builder for, or not with all parameters that we need.
pub(super) struct Plain {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<serde_json::Value>,
}

impl Plain {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None }
    }

    pub(super) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub(super) fn json(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }
}

impl Endpoint for Plain {
    fn method(&self) -> Method {
        self.method.clone()
    }

    fn endpoint(&self) -> std::borrow::Cow<'static, str> {
        self.path.clone().into()
    }

    fn parameters(&self) -> QueryParams<'_> {
        let mut parameters = QueryParams::default();
        for (name, value) in &self.query {
            parameters.push(*name, value.as_str());
        }
        parameters
    }

    fn body(&self) -> Result<Option<(&'static str, Vec<u8>)>, BodyError> {
        self.body.as_ref().map_or(Ok(None), gitlab::api::JsonParams::into_body)
    }
}

impl RestClient for Gitlab {
    type Error = Infallible;

    fn rest_endpoint(&self, endpoint: &str) -> Result<Url, ApiError<Infallible>> {
        Ok(self.shared.api.join(endpoint)?)
    }
}

impl Gitlab {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Where the address is no base of an API, or the trust anchors cannot be read.
    pub fn new(connection: Connection, clock: Clock, observer: Observer) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let mut base = connection.url;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let api = base.join("api/v4/").context("the address of GitLab is not usable")?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(connection.patience.call.min(Duration::from_secs(5)))
            .timeout(connection.patience.call)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("vorhoelle/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // No TLS will be spoken, and a client with the system's certificates cannot be built where there are none.
            builder = builder.tls_certs_only([]);
        }
        if is_here(&base) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &connection.extra_ca {
            let anchors = reqwest::Certificate::from_pem_bundle(pem)
                .context("the CA file holds no PEM certificates")?;
            builder = builder.tls_certs_merge(anchors);
        }
        let http =
            builder.build().context("cannot set up TLS; is the package `ca-certificates` installed?")?;
        let patience = connection.patience;
        Ok(Self {
            shared: Arc::new(Shared {
                http,
                api,
                token: connection.token,
                patience,
                clock,
                observer,
                creations: Window::new(patience.creations_a_minute),
                comments: Window::new(patience.comments_a_minute),
            }),
        })
    }

    /// Makes a call and reads the answer.
    ///
    /// What may safely be repeated is, after connection errors, timeouts and failures of GitLab (5xx); a POST only where GitLab did not
    /// run it (no connection, 429).
    ///
    /// # Errors
    ///
    /// [`GitlabError`] says which kind; [`GitlabError::is_unclear`] whether GitLab may have done it all the same.
    pub async fn call(&self, endpoint: &(impl Endpoint + Sync)) -> Result<Reply, GitlabError> {
        self.call_page(endpoint, None).await
    }

    /// [`Gitlab::call`], and the body as `T`.
    ///
    /// # Errors
    ///
    /// As [`Gitlab::call`], or where the body has another shape.
    pub async fn get<T: DeserializeOwned>(
        &self,
        endpoint: &(impl Endpoint + Sync),
    ) -> Result<T, GitlabError> {
        Ok(self.read(endpoint, None).await?.0)
    }

    /// Every row of a list, page after page as GitLab's headers say: it filters some lists after paging, so a short
    /// page is not the last.
    ///
    /// # Errors
    ///
    /// The first error ends it.
    pub async fn all<T: DeserializeOwned>(
        &self,
        endpoint: &(impl Endpoint + Sync),
    ) -> Result<Vec<T>, GitlabError> {
        let mut rows = Vec::new();
        let mut page = Some(1);
        let mut last = Bytes::new();
        while let Some(number) = page {
            let (mut next, reply) = self.read::<Vec<T>>(endpoint, Some(number)).await?;
            page = reply.next_page(number, next.len())?.filter(|next| *next > number);
            if !reply.tells_of_pages() && reply.body == last {
                // Nothing comes in pages here.
                break;
            }
            rows.append(&mut next);
            last = reply.body;
        }
        Ok(rows)
    }

    /// One page of a list, and whether there is another.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        endpoint: &(impl Endpoint + Sync),
        number: u64,
    ) -> Result<(Vec<T>, bool), GitlabError> {
        let (rows, reply) = self.read::<Vec<T>>(endpoint, Some(number)).await?;
        let next = reply.next_page(number, rows.len())?;
        Ok((rows, next.is_some_and(|next| next > number)))
    }

    /// Makes a call and reads its body. One that breaks off in the middle, or is a proxy's page, is asked for once more where
    /// that may be done.
    async fn read<T: DeserializeOwned>(
        &self,
        endpoint: &(impl Endpoint + Sync),
        page: Option<u64>,
    ) -> Result<(T, Reply), GitlabError> {
        let mut again = endpoint.method() != Method::POST && self.shared.patience.tries > 1;
        loop {
            let reply = self.call_page(endpoint, page).await?;
            match reply.json() {
                Err(GitlabError::Shape(_)) if std::mem::take(&mut again) => {
                    self.shared.clock.sleep(self.shared.patience.pause).await;
                }
                read => return Ok((read?, reply)),
            }
        }
    }

    /// Waits for room under GitLab's limit on new issues.
    ///
    /// # Errors
    ///
    /// [`GitlabError::NoRoom`] where that would take longer than a call may wait.
    pub(super) async fn room_for_an_issue(&self) -> Result<(), GitlabError> {
        self.room("issues", &self.shared.creations).await
    }

    /// Waits for room under GitLab's limit on comments.
    ///
    /// # Errors
    ///
    /// [`GitlabError::NoRoom`] where that would take longer than a call may wait.
    pub(super) async fn room_for_a_comment(&self) -> Result<(), GitlabError> {
        self.room("comments", &self.shared.comments).await
    }

    async fn room(&self, what: &'static str, window: &Window) -> Result<(), GitlabError> {
        while let Err(wait) = window.take(self.shared.clock.now()) {
            if wait > self.shared.patience.wait {
                return Err(GitlabError::NoRoom { what, wait });
            }
            self.shared.clock.sleep(wait).await;
        }
        Ok(())
    }

    async fn call_page(
        &self,
        endpoint: &(impl Endpoint + Sync),
        page: Option<u64>,
    ) -> Result<Reply, GitlabError> {
        let url = self.address(endpoint, page)?;
        let repeatable = endpoint.method() != Method::POST;
        let body = endpoint
            .body()
            .map_err(|_| GitlabError::NotSent("the request has no body that can be written"))?;
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(self.shared.patience.pause)
            .with_max_times(self.shared.patience.tries.saturating_sub(1))
            .with_jitter()
            .build();
        loop {
            let error = match self.once(endpoint.method(), url.clone(), body.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let again = error.was_not_run() || (repeatable && error.is_passing());
            let Some(pause) = pauses.next().filter(|_| again) else {
                return Err(error);
            };
            let pause = match &error {
                GitlabError::Wait(wait) if *wait > self.shared.patience.wait => return Err(error),
                GitlabError::Wait(wait) => *wait,
                // No `Retry-After`: an application limit, which counts by the minute. Short tries first.
                GitlabError::WaitForTheMinute(_) => pause * 4,
                _ => pause,
            };
            tracing::debug!(%error, ?pause, method = %endpoint.method(), "GitLab is asked again");
            self.shared.clock.sleep(pause).await;
        }
    }

    fn address(&self, endpoint: &impl Endpoint, page: Option<u64>) -> Result<Url, GitlabError> {
        let path = endpoint.endpoint();
        // The crate escapes `/` in names and leaves `..` alone, which would address something else.
        if path.split('/').any(|segment| {
            matches!(segment.to_ascii_lowercase().as_str(), "" | "." | ".." | "%2e" | "%2e%2e")
        }) {
            return Err(GitlabError::NotSent("a name in the address would lead elsewhere"));
        }
        let mut url = endpoint
            .url_base()
            .endpoint_for(self, &path)
            .map_err(|_| GitlabError::NotSent("the address cannot be built"))?;
        endpoint.parameters().add_to_url(&mut url);
        if let Some(page) = page {
            let mut query = url.query_pairs_mut();
            if !brings(endpoint, "per_page") {
                query.append_pair("per_page", &ROWS_A_PAGE.to_string());
            }
            query.append_pair("page", &page.to_string());
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        if url.as_str().len() > LONGEST_ADDRESS {
            return Err(GitlabError::NotSent("the address would be too long"));
        }
        Ok(url)
    }

    async fn once(
        &self,
        method: Method,
        url: Url,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Reply, GitlabError> {
        let mut token = header::HeaderValue::from_str(self.shared.token.expose_secret())
            .map_err(|_| GitlabError::NotSent("the token holds characters that no token has"))?;
        token.set_sensitive(true);
        let mut request = self.shared.http.request(method.clone(), url).header("PRIVATE-TOKEN", token);
        if let Some((kind, bytes)) = body {
            request = request.header(header::CONTENT_TYPE, kind).body(bytes);
        }
        let asked = self.shared.clock.now();
        let answer = async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, reqwest::Error>(Reply { status, headers, body: response.bytes().await? })
        }
        .await;
        let answered = self.shared.clock.now();
        self.report(&method, answer.as_ref().ok(), asked, answered);
        let reply = answer.map_err(|error| GitlabError::Net(error.without_url()))?;
        if reply.status.is_success() || reply.status == StatusCode::NOT_MODIFIED {
            Ok(reply)
        } else {
            Err(GitlabError::of_reply(&reply, answered))
        }
    }

    fn report(&self, method: &Method, reply: Option<&Reply>, asked: Timestamp, answered: Timestamp) {
        let text = |name: &str| reply?.headers.get(name)?.to_str().ok();
        (self.shared.observer)(&CallReport {
            method: method.clone(),
            status: reply.map(|reply| reply.status),
            remaining: text("ratelimit-remaining").and_then(|value| value.parse().ok()),
            clock_skew: text("date")
                .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
                .map(|date| date.timestamp().as_second() - answered.as_second()),
            took: Duration::try_from(answered.duration_since(asked)).unwrap_or_default(),
        });
    }
}

/// Whether an endpoint brings a parameter of its own, which paging must not override.
fn brings(endpoint: &impl Endpoint, name: &str) -> bool {
    let Ok(mut probe) = Url::parse("http://probe/") else { return false };
    endpoint.parameters().add_to_url(&mut probe);
    probe.query_pairs().any(|(given, _)| given == name)
}
