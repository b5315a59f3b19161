//! A notice as an e-mail: subject, HTML and plain text.

use std::sync::Arc;

use jiff::SignedDuration;
use minijinja::context;
use minijinja::value::{Object, Value};

use super::facts::Span;
use crate::domain::job_match::Score;
use crate::domain::numbers;
use crate::domain::posted_match::clean_line;
use crate::domain::{JobMatch, Language};
use crate::notify::{Notice, NoticeKind, NoticeMatch};
use crate::templates::{TemplateError, Templates};

/// Longest fact, in characters.
const FACT_LIMIT: usize = 200;
/// Longest summary, in characters: the rest stands in the issue.
const SUMMARY_LIMIT: usize = 1_500;
/// Longest line of reasons in a digest, in characters.
const REASON_LIMIT: usize = 160;
/// Most skills of each kind.
const SKILLS: usize = 15;

/// The texts of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailText {
    /// The subject, one line.
    pub subject: String,
    /// For those who read HTML.
    pub html: String,
    /// For everybody else.
    pub text: String,
}

/// Renders a notice as a mail.
///
/// # Errors
///
/// Where a template names something that is not there.
pub fn mail(templates: &Templates, notice: &Arc<Notice>) -> Result<MailText, TemplateError> {
    let facts = facts_of(notice);
    let subject = templates.render("mail/subject.txt", &facts)?;
    let subject = cut(clean_line(&subject), 250);
    let facts = context! { subject => subject.as_str(), ..facts };
    let html = templates.render("mail/notice.html", &facts)?;
    let text = templates.render("mail/notice.txt", &facts)?;
    Ok(MailText { subject, html, text: text.trim().to_owned() + "\n" })
}

/// What the templates see. Every value is plain text, escaped where it is put into HTML.
fn facts_of(notice: &Arc<Notice>) -> Value {
    let (kind, since) = match notice.kind {
        NoticeKind::Match => ("match", None),
        NoticeKind::Digest => ("digest", None),
        NoticeKind::Reminder => ("reminder", None),
        NoticeKind::Quiet { since } => ("quiet", Some(span(since))),
        NoticeKind::Test => ("test", None),
    };
    let preview: Vec<String> = notice.matches.iter().take(5).map(title).collect();
    let matches = 0..notice.matches.len();
    context! {
        language => notice.language.pick("de", "en"),
        kind,
        preview => preview.join(" · "),
        count => notice.matches.len(),
        first => notice.matches.first().map(headline).unwrap_or_default(),
        since,
        matches => matches.map(|at| Value::from_object(Shown { notice: Arc::clone(notice), at })).collect::<Value>(),
        decides_here => notice.matches.iter().any(|one| one.approve_url.is_some()),
        list_url => notice.list_url.as_str(),
        inbox_url => notice.inbox_url.as_deref(),
    }
}

/// A match of a notice as templates see it. What a template does not ask for is never made: a digest shows little of
/// each of its matches.
#[derive(Debug)]
struct Shown {
    notice: Arc<Notice>,
    at: usize,
}

impl Object for Shown {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let one = self.notice.matches.get(self.at)?;
        let (job, language) = (&one.job, self.notice.language);
        Some(match key {
            "number" => format!("#{}", one.iid).into(),
            "headline" => headline(one).into(),
            "title" => title(one).into(),
            "score" => job.score.map(Score::whole_percent).into(),
            "company" => company(job).into(),
            "place" => place(job, language).into(),
            "facts" => {
                facts(job, language).into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
            }
            "matched" => skills(&job.skills.matched),
            "missing" => skills(&job.skills.missing),
            "summary" => summary(job).into(),
            "reason" => reason(job).into(),
            "duplicates" => one.possible_duplicates.iter().map(|iid| format!("#{iid}")).collect(),
            "waiting" => span(one.waiting),
            "url" => job.url.as_ref().map(|url| url.url().as_str()).into(),
            "web_url" => one.web_url.as_str().into(),
            "approve_url" => one.approve_url.as_deref().into(),
            "reject_url" => one.reject_url.as_deref().into(),
            _ => return None,
        })
    }
}

fn span(duration: SignedDuration) -> Value {
    let Span { count, unit } = Span::of(duration);
    context! { count, unit }
}

fn line(text: &str) -> String {
    cut(clean_line(text), FACT_LIMIT)
}

fn title(one: &NoticeMatch) -> String {
    cut(clean_line(&one.job.title), 255)
}

fn headline(one: &NoticeMatch) -> String {
    let score = one.job.score.map(|score| format!("[{} %] ", score.whole_percent()));
    let company = company(&one.job).map(|company| format!(" – {company}"));
    [score, Some(title(one)), company].into_iter().flatten().collect()
}

fn company(job: &JobMatch) -> Option<String> {
    let known = job.company.as_ref().or(job.agency.as_ref()).or(job.end_client.as_ref());
    known.map(|name| line(name))
}

fn place(job: &JobMatch, language: Language) -> Option<String> {
    let remote = || job.remote.as_ref().map(|remote| line(&numbers::remote(remote, language)));
    job.location.as_deref().map(line).or_else(remote)
}

fn skills(skills: &[String]) -> Value {
    skills.iter().take(SKILLS).map(|skill| line(skill)).collect()
}

fn summary(job: &JobMatch) -> Option<String> {
    let text = cut(job.summary.as_ref()?.trim(), SUMMARY_LIMIT);
    (!text.is_empty()).then_some(text)
}

/// What is known of a match, in the order of the templates' names for it.
pub(crate) fn facts(job: &JobMatch, language: Language) -> Vec<(&'static str, String)> {
    let contact = job.contact.as_ref().map(|contact| {
        let parts = [&contact.name, &contact.email, &contact.phone];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
    });
    let all = [
        ("end_client", job.end_client.clone()),
        ("location", job.location.clone()),
        ("remote", job.remote.as_ref().map(|remote| numbers::remote(remote, language))),
        ("rate", job.rate.as_ref().map(|rate| numbers::rate(rate, language))),
        ("start", job.start.clone()),
        ("duration", job.duration.clone()),
        ("deadline", job.deadline.map(|date| date.to_string())),
        ("contact", contact),
        ("source", job.source.clone()),
    ];
    let known = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known
        .map(|(name, value)| (name, cut(clean_line(&value), FACT_LIMIT)))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// One line why a match fits: the skills, else how the summary begins.
pub(crate) fn reason(job: &JobMatch) -> Option<String> {
    let text = if job.skills.matched.is_empty() {
        job.summary.as_deref().unwrap_or_default().trim().lines().next().unwrap_or_default().to_owned()
    } else {
        job.skills.matched.join(" · ")
    };
    let line = cut(clean_line(&text), REASON_LIMIT);
    (!line.is_empty()).then_some(line)
}

/// A text of at most so many characters, with an ellipsis where it was cut.
pub(crate) fn cut(text: impl Into<String> + AsRef<str>, limit: usize) -> String {
    let whole = text.as_ref();
    // No character is shorter than a byte.
    if whole.len() <= limit || whole.char_indices().nth(limit).is_none() {
        return text.into();
    }
    whole.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}
