//! Figures for Prometheus. The registry is a value, so that two services in one process do not share it.

use std::time::Duration;

use http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// What Prometheus is told.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram>,
    gitlab_calls: Family<CallLabels, Counter>,
    gitlab_seconds: Histogram,
    gitlab_remaining: Family<NoLabels, Gauge>,
    gitlab_skew: Gauge,
    messages: Family<MessageLabels, Counter>,
    gauges: Family<GaugeLabels, Gauge>,
    matches: Family<StateLabels, Gauge>,
    channel_up: Family<ChannelLabels, Gauge>,
    channel_waiting: Family<ChannelLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: String,
    /// The status; 0 where no answer came.
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    channel: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabels {
    channel: &'static str,
}

/// Of what has one value or, until it was heard of, none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GaugeLabels {
    part: Part,
}

/// What waits or fares how, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Part {
    /// Issues that wait to be looked at.
    Backlog,
    /// Whether GitLab answers, 0 or 1.
    GitlabUp,
    /// When GitLab was last read from end to end, in seconds since 1970.
    LastRead,
    /// When the last delivery came, in seconds since 1970.
    LastEvent,
    /// Issues labelled by somebody who may not.
    Ignored,
    /// Outgoing events that wait.
    EventsWaiting,
    /// Outgoing events that were given up.
    EventsGivenUp,
    /// Applications of which nobody knows whether they left.
    SendUnknown,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("vorhoelle"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            gitlab_calls: Family::default(),
            gitlab_seconds: Histogram::new(SECONDS),
            gitlab_remaining: Family::default(),
            gitlab_skew: Gauge::default(),
            messages: Family::default(),
            gauges: Family::default(),
            matches: Family::default(),
            channel_up: Family::default(),
            channel_waiting: Family::default(),
        };
        metrics.register();
        metrics
    }
}

/// The method's name. Callers may make up methods; each would be a series for ever.
fn usual(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Upper bounds of the histograms, in seconds.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "build",
            "The program's version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register("http_requests", "Requests answered", self.requests.clone());
        registry.register_with_unit(
            "http_request",
            "How long requests took",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register(
            "gitlab_calls",
            "Calls to GitLab; status 0 where no answer came",
            self.gitlab_calls.clone(),
        );
        registry.register_with_unit(
            "gitlab_call",
            "How long calls to GitLab took",
            Unit::Seconds,
            self.gitlab_seconds.clone(),
        );
        registry.register(
            "gitlab_ratelimit_remaining",
            "What GitLab's rate limit leaves, as it last said",
            self.gitlab_remaining.clone(),
        );
        registry.register_with_unit(
            "gitlab_clock_skew",
            "GitLab's clock minus ours",
            Unit::Seconds,
            self.gitlab_skew.clone(),
        );
        registry.register("messages", "Messages handed to a channel", self.messages.clone());
        registry.register("status", "What waits or fares how", self.gauges.clone());
        registry.register("matches", "Matches by state", self.matches.clone());
        registry.register("channel_up", "Whether a channel works, 0 or 1", self.channel_up.clone());
        registry.register(
            "channel_waiting",
            "Matches that a channel has not been told of",
            self.channel_waiting.clone(),
        );
    }

    /// A request was answered; `route` is the pattern, never the address.
    pub fn answered(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let labels = RequestLabels { method: usual(method), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        let labels = RouteLabels { route: route.to_owned() };
        self.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// GitLab was called.
    pub fn called_gitlab(&self, method: &str, status: Option<u16>, took: Duration) {
        let labels = CallLabels { method: method.to_owned(), status: status.unwrap_or(0) };
        self.gitlab_calls.get_or_create(&labels).inc();
        self.gitlab_seconds.observe(took.as_secs_f64());
    }

    /// What GitLab's rate limit leaves, and its clock minus ours in seconds, as an answer said.
    pub fn gitlab_said(&self, remaining: Option<u64>, skew: Option<i64>) {
        if let Some(remaining) = remaining.and_then(|remaining| i64::try_from(remaining).ok()) {
            self.gitlab_remaining.get_or_create(&NoLabels {}).set(remaining);
        }
        if let Some(skew) = skew {
            self.gitlab_skew.set(skew);
        }
    }

    /// GitLab's clock minus ours, in seconds, as it last said.
    pub fn clock_skew(&self) -> i64 {
        self.gitlab_skew.get()
    }

    /// A message was handed to a channel.
    pub fn told(&self, channel: &'static str, outcome: &'static str) {
        self.messages.get_or_create(&MessageLabels { channel, outcome }).inc();
    }

    /// What waits or fares how.
    pub fn set(&self, part: Part, value: i64) {
        self.gauges.get_or_create(&GaugeLabels { part }).set(value);
    }

    /// How many matches are in a state.
    pub fn set_matches(&self, state: &'static str, count: u64) {
        self.matches.get_or_create(&StateLabels { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How a channel fares.
    pub fn set_channel(&self, channel: &'static str, up: bool, waiting: usize) {
        let labels = ChannelLabels { channel };
        self.channel_up.get_or_create(&labels).set(i64::from(up));
        self.channel_waiting.get_or_create(&labels).set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// A channel that is off neither works nor fails.
    pub fn forget_channel(&self, channel: &'static str) {
        let labels = ChannelLabels { channel };
        self.channel_up.remove(&labels);
        self.channel_waiting.remove(&labels);
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
