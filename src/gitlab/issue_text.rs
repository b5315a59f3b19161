//! Title and body of an issue, and reading them back.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::identity::Fingerprint;
use crate::domain::inert::{
    Danger, GitlabBlock, GitlabLine, GitlabTitle, Wanted, json_block, whole_text_guard,
};
use crate::domain::job_match::WebUrl;
use crate::domain::{JobMatch, Language, hex, numbers};
use crate::templates::{TemplateError, Templates};

/// Largest body, in bytes; GitLab's own limit is a mebibyte.
const BODY_LIMIT: usize = 900_000;
/// The version of the machine-readable block that is written; every earlier one is read for ever.
const BLOCK_VERSION: u32 = 1;

const ADVERTISEMENT_BEGIN: &str = "<!-- vorhoelle:advertisement -->";
const ADVERTISEMENT_END: &str = "<!-- /vorhoelle:advertisement -->";

/// What an issue holds of a match.
#[derive(Clone, Debug, PartialEq)]
pub struct Staged {
    /// The match.
    pub job: JobMatch,
    /// Stands for the identity of a match that has no other.
    pub nonce: Uuid,
}

/// What the body says beside the match.
#[derive(Clone, Debug, Default)]
pub struct BodyContext {
    /// In which language.
    pub language: Language,
    /// Who is mentioned so that they get a ToDo.
    pub mentions: Vec<String>,
    /// Issues of the same role at the same end client through another agency.
    pub possible_duplicates: Vec<u64>,
    /// The GitLab's own host: a link there could be a reference to somebody's issue.
    pub gitlab_host: Option<String>,
}

/// Why a text was not written.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Even without its advertisement the match does not fit into an issue.
    #[error(
        "the match is too large for an issue, even without its advertisement; shorten skills, summary or extra"
    )]
    TooLarge,
    /// Foreign text would have done harm; a changed template put it in the wrong place.
    #[error("the template {template} puts foreign text where it could do harm: {danger}")]
    Danger {
        /// The template.
        template: String,
        /// What was found.
        danger: Danger,
    },
}

/// The machine-readable block.
#[derive(Serialize, Deserialize)]
struct Block {
    vorhoelle: u32,
    nonce: Uuid,
    #[serde(rename = "match")]
    job: JobMatch,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    advertisement: Option<Advertisement>,
}

/// What the block says of the advertisement, which stands in the body once.
#[derive(Serialize, Deserialize)]
struct Advertisement {
    /// SHA-256 of the advertisement as it was posted.
    sha256: String,
    /// Whether it was too long for the body.
    #[serde(default)]
    cut: bool,
}

/// `[97 %] Cloud Architect – Amoria Bond`, at most 255 characters.
pub fn title(job: &JobMatch) -> String {
    let score = job.score.map(|score| format!("[{} %] ", score.whole_percent())).unwrap_or_default();
    let company = job.company.as_ref().or(job.agency.as_ref());
    let company = company.map(|company| format!(" – {company}")).unwrap_or_default();
    GitlabTitle::new(&score, &format!("{}{company}", job.title)).into_string()
}

/// The body of an issue.
///
/// # Errors
///
/// Where the template cannot be rendered or would let foreign text do harm.
pub fn body(templates: &Templates, staged: &Staged, context: &BodyContext) -> Result<String, TextError> {
    let advertisement = staged.job.description.clone();
    let body = render_body(templates, staged, context, advertisement.as_deref(), false)?;
    if body.len() <= BODY_LIMIT {
        return Ok(body);
    }
    let advertisement = advertisement.ok_or(TextError::TooLarge)?;
    let mut room = BODY_LIMIT.saturating_sub(render_body(templates, staged, context, Some("x"), true)?.len());
    loop {
        let cut = cut_to_fit(&advertisement, room);
        let body = render_body(templates, staged, context, Some(cut), true)?;
        if body.len() <= BODY_LIMIT {
            return Ok(body);
        }
        if cut.is_empty() {
            return Err(TextError::TooLarge);
        }
        room = room.saturating_sub(body.len() - BODY_LIMIT + 64);
    }
}

/// As much of a text as has at most `room` bytes in its inert form.
fn cut_to_fit(text: &str, room: usize) -> &str {
    let (mut fits, mut too_much) = (0, text.len() + 1);
    while too_much - fits > 1 {
        let middle = fits + (too_much - fits) / 2;
        let end = text.floor_char_boundary(middle);
        if GitlabBlock::new(&text[..end]).len() <= room { fits = middle } else { too_much = middle }
    }
    &text[..text.floor_char_boundary(fits)]
}

fn render_body(
    templates: &Templates,
    staged: &Staged,
    context: &BodyContext,
    advertisement: Option<&str>,
    cut: bool,
) -> Result<String, TextError> {
    let job = &staged.job;
    let mut in_block = job.clone();
    let posted = in_block.description.take();
    let block = Block {
        vorhoelle: BLOCK_VERSION,
        nonce: staged.nonce,
        job: in_block,
        advertisement: posted.map(|text| Advertisement { sha256: hash(&text), cut }),
    };
    let line = |text: &Option<String>| text.as_deref().map(GitlabLine::new);
    let contact = job.contact.clone().unwrap_or_default();
    let contact: Vec<_> = [contact.name, contact.email, contact.phone].iter().filter_map(line).collect();
    let address = job.url.as_ref().map(WebUrl::url);
    let at_gitlab = address.is_some_and(|url| url.host_str() == context.gitlab_host.as_deref());
    let name = format!("issue.{}.md", context.language.pick("de", "en"));
    let block = json_block(&serde_json::to_value(&block).unwrap_or_default());
    let mut rendered = templates.render(
        &name,
        json!({
            "score": job.score.map(|score| GitlabLine::new(&score.to_string().replace('.', context.language.pick(",", ".")))),
            "company": line(&job.company),
            "agency": line(&job.agency),
            "end_client": line(&job.end_client),
            "location": line(&job.location),
            "remote": job.remote.as_ref().map(|remote| GitlabLine::new(&numbers::remote(remote, context.language))),
            "rate": job.rate.as_ref().map(|rate| GitlabLine::new(&numbers::rate(rate, context.language))),
            "start": line(&job.start),
            "duration": line(&job.duration),
            "source": line(&job.source),
            "deadline": job.deadline.map(|date| date.strftime(context.language.pick("%d.%m.%Y", "%Y-%m-%d")).to_string()),
            "url": address.filter(|_| !at_gitlab).map(link),
            "address": address.map(|url| GitlabLine::new(url.as_str())),
            "host": job.url.as_ref().and_then(|url| url.url().host_str()).map(GitlabLine::new),
            "contact": contact,
            "matched": job.skills.matched.iter().map(|skill| GitlabLine::new(skill)).collect::<Vec<_>>(),
            "missing": job.skills.missing.iter().map(|skill| GitlabLine::new(skill)).collect::<Vec<_>>(),
            "summary": job.summary.as_deref().map(GitlabBlock::new),
            "advertisement": advertisement.map(GitlabBlock::new),
            "advertisement_begin": ADVERTISEMENT_BEGIN,
            "advertisement_end": ADVERTISEMENT_END,
            "cut": cut,
            "mentions": context.mentions,
            "possible_duplicates": context.possible_duplicates,
            "block": block,
        }),
    )?;
    if !rendered.contains(&block) {
        // A template of somebody's own that leaves it out: without it nobody would find the match again.
        let summary = context.language.pick("Daten für Programme", "Data for programs");
        rendered = format!(
            "{}\n\n<details><summary>{summary}</summary>\n\n```json\n{block}\n```\n\n</details>\n",
            rendered.trim_end()
        );
    }
    let wanted =
        Wanted { mentions: context.mentions.clone(), references: context.possible_duplicates.clone() };
    guarded(rendered, &name, &wanted)
}

/// A comment of the service.
///
/// # Errors
///
/// Where the template cannot be rendered or would let foreign text do harm.
pub fn comment(
    templates: &Templates,
    name: &str,
    context: &impl Serialize,
    wanted: &Wanted,
) -> Result<String, TextError> {
    let mut text = templates.render(name, context)?;
    let context = serde_json::to_value(context).unwrap_or_default();
    if let Some(hidden) = context["hidden"].as_str().filter(|hidden| !text.contains(*hidden)) {
        // Whoever wrote a template of their own may have left out what we must read back.
        text = format!("{}\n\n{hidden}", text.trim_end());
    }
    guarded(text, name, wanted)
}

fn guarded(text: String, template: &str, wanted: &Wanted) -> Result<String, TextError> {
    match whole_text_guard(&text, wanted) {
        Ok(()) => Ok(text),
        Err(danger) => Err(TextError::Danger { template: template.to_owned(), danger }),
    }
}

/// Reads a body back: what stands in the block, and the advertisement from where people read it. None where there is no
/// block of ours; what people wrote around it does not matter.
pub fn read_back(description: &str) -> Option<Staged> {
    let description = description.replace('\r', "");
    // From the last fence on: foreign text cannot contain one, and people may have added their own behind ours.
    let fences = description.split("```json\n").skip(1).collect::<Vec<_>>();
    let blocks = fences.iter().rev().filter_map(|fence| fence.split("\n```").next());
    let block: Block = blocks.filter_map(|json| serde_json::from_str(json).ok()).next()?;
    let mut job = block.job;
    if block.advertisement.is_some() {
        job.description = advertisement(&description);
    }
    Some(Staged { job, nonce: block.nonce })
}

/// The machine-readable block of an issue whose data was removed.
#[derive(Serialize, Deserialize)]
struct ErasedBlock {
    vorhoelle: u32,
    erased: Erased,
}

#[derive(Serialize, Deserialize)]
struct Erased {
    fingerprint: String,
}

/// Title and body of an issue whose data was removed at a person's wish: what is left is the fingerprint, so that the
/// match is not staged again. An issue that a person made has none.
///
/// # Errors
///
/// Where the template cannot be rendered.
pub fn erased_text(
    templates: &Templates,
    language: Language,
    fingerprint: Option<&Fingerprint>,
) -> Result<(String, String), TextError> {
    let name = format!("erased.{}.md", language.pick("de", "en"));
    let block = fingerprint.map(|fingerprint| ErasedBlock {
        vorhoelle: BLOCK_VERSION,
        erased: Erased { fingerprint: fingerprint.as_str().to_owned() },
    });
    let block = block.map(|block| json_block(&serde_json::to_value(&block).unwrap_or_default()));
    let part = |part: &str| {
        let text = templates.render(&name, json!({ "part": part, "block": block }))?;
        guarded(text.trim().to_owned(), &name, &Wanted::default())
    };
    Ok((part("title")?, part("body")?))
}

/// What takes the place of a comment of ours on such an issue.
///
/// # Errors
///
/// Where the template cannot be rendered.
pub fn erased_comment(templates: &Templates, language: Language) -> Result<String, TextError> {
    let name = format!("erased.{}.md", language.pick("de", "en"));
    let text = templates.render(&name, json!({ "part": "comment", "block": null }))?;
    guarded(text.trim().to_owned(), &name, &Wanted::default())
}

/// What is left of the identity of a match whose data was removed; none where it was not.
pub fn read_erased(description: &str) -> Option<Fingerprint> {
    let description = description.replace('\r', "");
    let blocks = description.split("```json\n").skip(1).filter_map(|fence| fence.split("\n```").next());
    let block = blocks.filter_map(|json| serde_json::from_str::<ErasedBlock>(json).ok()).last()?;
    Fingerprint::written(&block.erased.fingerprint)
}

fn advertisement(description: &str) -> Option<String> {
    let (_, behind) = description.split_once(ADVERTISEMENT_BEGIN)?;
    let (between, _) = behind.rsplit_once(ADVERTISEMENT_END)?;
    let text = between.strip_prefix("\n\n").unwrap_or(between);
    let text = text.strip_suffix("\n\n").unwrap_or(text);
    Some(GitlabBlock::read_back(text)).filter(|text| !text.is_empty())
}

/// An address in a link's brackets. The parser has percent-encoded blanks and control characters as browsers do; all of these
/// may still end a link, or mean something to Markdown or to GitLab.
fn link(url: &url::Url) -> String {
    let url = url.as_str();
    url.char_indices().fold(String::new(), |mut link, (at, c)| {
        match c {
            '&' if begins_reference(&url[at..]) => link.push_str("&amp;"),
            '(' | ')' | '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '"' | '\'' | '@' | '!'
            | '~' | '$' | '{' | '}' => {
                link.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c => link.push(c),
        }
        link
    })
}

/// Whether Markdown reads a character reference here, such as `&sol;` or `&#47;`: then a link may lead elsewhere than its
/// address does.
fn begins_reference(text: &str) -> bool {
    let name = text.strip_prefix('&').unwrap_or_default();
    let name = name.strip_prefix('#').unwrap_or(name);
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    rest.len() < name.len() && rest.starts_with(';')
}

fn hash(text: &str) -> String {
    hex(Sha256::digest(text.as_bytes()))
}
