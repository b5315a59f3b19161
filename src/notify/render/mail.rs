//! A notice as an e-mail: subject, HTML and plain text.

use minijinja::value::{Serde, Value};
use serde::Serialize;

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

/// What the templates see. Every value is plain text, escaped where it is put into HTML.
#[derive(Serialize)]
struct Context<'a> {
    language: &'static str,
    kind: &'static str,
    preview: String,
    count: usize,
    first: String,
    days: i64,
    matches: Vec<MatchContext<'a>>,
    decides_here: bool,
    list_url: &'a str,
    inbox_url: Option<&'a str>,
}

#[derive(Serialize)]
struct MatchContext<'a> {
    number: String,
    headline: String,
    title: String,
    score: Option<u8>,
    company: Option<String>,
    place: Option<String>,
    facts: Vec<(&'static str, String)>,
    matched: Vec<String>,
    missing: Vec<String>,
    summary: Option<String>,
    reason: Option<String>,
    duplicates: Vec<String>,
    waited_days: i64,
    url: Option<&'a str>,
    web_url: &'a str,
    approve_url: Option<&'a str>,
    reject_url: Option<&'a str>,
}

/// Renders a notice as a mail.
///
/// # Errors
///
/// Where a template names something that is not there.
pub fn mail(templates: &Templates, notice: &Notice) -> Result<MailText, TemplateError> {
    // Converted once for all three.
    let facts = Value::from(Serde(context(notice)));
    let subject = templates.render("mail/subject.txt", &facts)?;
    let subject = cut(&clean_line(&subject), 250);
    let facts = minijinja::context! { subject => subject.as_str(), ..facts };
    let html = templates.render("mail/notice.html", &facts)?;
    let text = templates.render("mail/notice.txt", &facts)?;
    Ok(MailText { subject, html, text: text.trim().to_owned() + "\n" })
}

fn context(notice: &Notice) -> Context<'_> {
    let matches: Vec<MatchContext<'_>> =
        notice.matches.iter().map(|one| match_context(one, notice.language)).collect();
    let (kind, days) = match notice.kind {
        NoticeKind::Match => ("match", 0),
        NoticeKind::Digest => ("digest", 0),
        NoticeKind::Reminder => ("reminder", 0),
        NoticeKind::Quiet { since } => ("quiet", since.as_hours() / 24),
        NoticeKind::Test => ("test", 0),
    };
    let preview: Vec<&str> = matches.iter().take(5).map(|one| one.title.as_str()).collect();
    Context {
        language: notice.language.pick("de", "en"),
        kind,
        preview: preview.join(" · "),
        count: matches.len(),
        first: matches.first().map(|first| first.headline.clone()).unwrap_or_default(),
        days,
        decides_here: notice.matches.iter().any(|one| one.approve_url.is_some()),
        matches,
        list_url: &notice.list_url,
        inbox_url: notice.inbox_url.as_deref(),
    }
}

fn match_context(one: &NoticeMatch, language: Language) -> MatchContext<'_> {
    let job = &one.job;
    let line = |text: &String| cut(&clean_line(text), FACT_LIMIT);
    let skills = |skills: &[String]| -> Vec<String> { skills.iter().take(SKILLS).map(line).collect() };
    let title = cut(&clean_line(&job.title), 255);
    let company = job.company.as_ref().or(job.agency.as_ref()).or(job.end_client.as_ref()).map(line);
    let score = job.score.map(crate::domain::job_match::Score::whole_percent);
    let place = job
        .location
        .as_ref()
        .map(line)
        .or_else(|| job.remote.as_ref().map(|remote| line(&numbers::remote(remote, language))));
    let mut headline = score.map(|score| format!("[{score} %] ")).unwrap_or_default();
    headline.push_str(&title);
    if let Some(company) = &company {
        headline.push_str(" – ");
        headline.push_str(company);
    }
    MatchContext {
        number: format!("#{}", one.iid),
        headline,
        score,
        company,
        place,
        facts: facts(job, language),
        matched: skills(&job.skills.matched),
        missing: skills(&job.skills.missing),
        summary: job
            .summary
            .as_ref()
            .map(|text| cut(text.trim(), SUMMARY_LIMIT))
            .filter(|text| !text.is_empty()),
        reason: reason(job),
        duplicates: one.possible_duplicates.iter().map(|iid| format!("#{iid}")).collect(),
        waited_days: one.waiting.as_hours() / 24,
        url: job.url.as_ref().map(|url| url.url().as_str()),
        web_url: &one.web_url,
        approve_url: one.approve_url.as_deref(),
        reject_url: one.reject_url.as_deref(),
        title,
    }
}

/// What is known of a match, in the order of the templates' names for it.
fn facts(job: &JobMatch, language: Language) -> Vec<(&'static str, String)> {
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
        .map(|(name, value)| (name, cut(&clean_line(&value), FACT_LIMIT)))
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
    let line = cut(&clean_line(&text), REASON_LIMIT);
    (!line.is_empty()).then_some(line)
}

/// A text of at most so many characters, with an ellipsis where it was cut.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => text.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
    }
}
