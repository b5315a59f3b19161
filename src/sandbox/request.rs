//! A call as the API sees it, and what it answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;
use url::form_urlencoded;

use super::hooks::Delivery;
use super::refusal::Refusal;

/// A parameter, wherever it came from.
#[derive(Clone, Debug, PartialEq)]
enum Parameter {
    Null,
    One(String),
    Many(Vec<String>),
}

/// The parameters of a call: query, form and JSON body alike. Nested names keep their brackets (`not[labels]`).
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    named: BTreeMap<String, Parameter>,
    /// Headers of a hook are pairs, which do not fit the flat table.
    json: Value,
}

impl Params {
    pub(super) fn read(query: &str, content_type: &str, body: &[u8]) -> Result<Self, Refusal> {
        let mut params = Self::default();
        params.add_form(query.as_bytes());
        if content_type.starts_with("application/json") {
            if !body.is_empty() {
                let value: Value = serde_json::from_slice(body)
                    .map_err(|_| Refusal::parameter("message body does not match declared format"))?;
                params.add_json("", &value);
                params.json = value;
            }
        } else {
            params.add_form(body);
        }
        Ok(params)
    }

    fn add_form(&mut self, text: &[u8]) {
        for (name, value) in form_urlencoded::parse(text) {
            let (name, value) = (name.into_owned(), value.into_owned());
            match name.strip_suffix("[]") {
                Some(list) => {
                    match self.named.entry(list.to_owned()).or_insert(Parameter::Many(Vec::new())) {
                        Parameter::Many(values) => values.push(value),
                        other => *other = Parameter::Many(vec![value]),
                    }
                }
                None => drop(self.named.insert(name, Parameter::One(value))),
            }
        }
    }

    fn add_json(&mut self, prefix: &str, value: &Value) {
        let Value::Object(fields) = value else { return };
        for (key, value) in fields {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}[{key}]") };
            let parameter = match value {
                Value::Null => Parameter::Null,
                Value::Array(items) => Parameter::Many(items.iter().filter_map(scalar).collect()),
                Value::Object(_) => {
                    self.add_json(&name, value);
                    continue;
                }
                other => Parameter::One(scalar(other).unwrap_or_default()),
            };
            self.named.insert(name, parameter);
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// The parameter as text; `None` where it was not given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.named.get(name)? {
            Parameter::Null => Some(""),
            Parameter::One(text) => Some(text),
            Parameter::Many(texts) => texts.first().map(String::as_str),
        }
    }

    /// The parameter as text that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::parameter(format!("{name} is missing")))
    }

    /// The parameter as a list: an array, or text with commas.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        let split = |text: &String| {
            text.split(',')
                .map(|part| part.trim().to_owned())
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
        };
        Some(match self.named.get(name)? {
            Parameter::Null => Vec::new(),
            Parameter::One(text) => split(text),
            Parameter::Many(texts) => texts.iter().flat_map(split).collect(),
        })
    }

    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<u64>>, Refusal> {
        let Some(list) = self.list(name) else {
            return Ok(None);
        };
        let numbers: Result<Vec<_>, _> = list.iter().map(|text| text.parse()).collect();
        numbers.map(Some).map_err(|_| Refusal::parameter(format!("{name} is invalid")))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) => {
                text.parse().map(Some).map_err(|_| Refusal::parameter(format!("{name} is invalid")))
            }
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("") => Ok(None),
            Some("true" | "t" | "1" | "on" | "yes") => Ok(Some(true)),
            Some("false" | "f" | "0" | "off" | "no") => Ok(Some(false)),
            Some(_) => Err(Refusal::parameter(format!("{name} is invalid"))),
        }
    }

    /// A day, or none where the text is empty; the outer `None` where the parameter was not given.
    pub(super) fn day(&self, name: &str) -> Result<Option<Option<Date>>, Refusal> {
        match self.text(name) {
            None => Ok(None),
            Some("") => Ok(Some(None)),
            Some(text) => match text.parse() {
                Ok(day) => Ok(Some(Some(day))),
                Err(_) => Err(Refusal::parameter(format!("{name} is invalid"))),
            },
        }
    }

    /// A moment; without an offset in UTC.
    pub(super) fn moment(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.text(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let local =
            || text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(DateTime::from));
        text.parse::<Timestamp>()
            .ok()
            .or_else(|| local()?.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp()))
            .map(Some)
            .ok_or_else(|| Refusal::parameter(format!("{name} is invalid")))
    }

    /// One of a few words.
    pub(super) fn word<'a>(&'a self, name: &str, allowed: &[&str]) -> Result<Option<&'a str>, Refusal> {
        match self.text(name).filter(|word| !word.is_empty()) {
            Some(word) if !allowed.contains(&word) => {
                Err(Refusal::parameter(format!("{name} does not have a valid value")))
            }
            word => Ok(word),
        }
    }

    /// `[{key, value}]` of a JSON body.
    pub(super) fn pairs(&self, name: &str) -> Option<Vec<(String, String)>> {
        let items = self.json.get(name)?.as_array()?;
        let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
        Some(items.iter().map(|item| (text(item, "key"), text(item, "value"))).collect())
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A call, authenticated.
pub(super) struct Request {
    pub method: Method,
    /// Path as it came, without the prefix of the instance.
    pub path: String,
    /// Decoded segments of the path.
    pub segments: Vec<String>,
    pub query: String,
    pub params: Params,
    /// Who calls, if anybody.
    pub user: Option<u64>,
    /// Id of the token that was used.
    pub token: Option<u64>,
}

impl Request {
    /// The user, where one is needed.
    pub(super) fn actor(&self) -> Result<u64, Refusal> {
        self.user.ok_or_else(Refusal::unauthorized)
    }
}

/// What the API answers.
pub(super) enum Answer {
    /// Status and JSON; `Null` for no body.
    Json(u16, Value),
    /// A page of a list, with the headers of paging.
    Page(Page),
    /// Bytes of a file.
    File(Vec<u8>),
    /// Headers and no body.
    Head(Vec<(&'static str, String)>),
    /// A delivery that is made before the call is answered.
    Deliver(Box<Delivery>),
}

/// A page of a list.
pub(super) struct Page {
    pub rows: Vec<Value>,
    pub page: usize,
    pub per_page: usize,
    pub total: usize,
}

impl Page {
    /// Cuts the page that was asked for out of all rows, and writes only those: of a long list, writing all of it for each
    /// page would take the square of its length. A hidden row takes up room and is not shown.
    pub(super) fn cut<T>(
        params: &Params,
        max: usize,
        rows: Vec<Option<T>>,
        write: impl FnMut(T) -> Value,
    ) -> Result<Self, Refusal> {
        let asked = |name| params.number(name).map(|n| n.map(|n| usize::try_from(n).unwrap_or(usize::MAX)));
        let page = asked("page")?.unwrap_or(1).max(1);
        let per_page = asked("per_page")?.unwrap_or(20.min(max)).clamp(1, max);
        let total = rows.len();
        let shown = rows.into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page);
        let rows = shown.flatten().map(write).collect();
        Ok(Self { rows, page, per_page, total })
    }

    pub(super) fn headers(&self, address: &str, query: &str) -> Vec<(&'static str, String)> {
        let pages = self.total.div_ceil(self.per_page).max(1);
        let shown = |page: Option<usize>| page.map(|page| page.to_string()).unwrap_or_default();
        let next = (self.page < pages).then_some(self.page + 1);
        let previous = (self.page > 1).then(|| (self.page - 1).min(pages));
        let link = |page: usize, rel: &str| {
            let mut pairs = form_urlencoded::Serializer::new(String::new());
            let kept = form_urlencoded::parse(query.as_bytes());
            pairs.extend_pairs(kept.filter(|(name, _)| !matches!(name.as_ref(), "page" | "per_page")));
            pairs.append_pair("page", &page.to_string());
            pairs.append_pair("per_page", &self.per_page.to_string());
            format!("<{address}?{}>; rel=\"{rel}\"", pairs.finish())
        };
        let mut links = Vec::new();
        links.extend(previous.map(|page| link(page, "prev")));
        links.extend(next.map(|page| link(page, "next")));
        links.push(link(1, "first"));
        let mut headers = Vec::new();
        // Above this many rows GitLab does not count them.
        let counted = self.total <= 10_000;
        if counted {
            links.push(link(pages, "last"));
            headers.push(("x-total", self.total.to_string()));
            headers.push(("x-total-pages", pages.to_string()));
        }
        headers.extend([
            ("link", links.join(", ")),
            ("x-page", self.page.to_string()),
            ("x-next-page", shown(next)),
            ("x-prev-page", shown(previous)),
            ("x-per-page", self.per_page.to_string()),
        ]);
        headers
    }
}

/// An answer on its way out.
pub(super) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Reply {
    pub(super) fn json(status: u16, value: &Value) -> Self {
        if value.is_null() {
            return Self { status, headers: Vec::new(), body: Bytes::new() };
        }
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: Bytes::from(value.to_string()) }
    }

    pub(super) fn of(content_type: &str, status: u16, body: String) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: Bytes::from(body) }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::json(refusal.status, &refusal.body)
    }
}

/// Decodes the segments of a path, each for itself: an encoded slash stays within its segment.
pub(super) fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        // A form encodes blanks as `+`, a path does not.
        .map(|segment| segment.replace('+', "%2B"))
        .map(|segment| {
            form_urlencoded::parse(segment.as_bytes())
                .next()
                .map_or(segment.clone(), |(name, _)| name.into_owned())
        })
        .collect()
}
