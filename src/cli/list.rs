//! `vorhoelle list` and `vorhoelle show IID`.

use std::process::ExitCode;

use super::{Context, print};
use crate::domain::posted_match::clean_line;
use crate::domain::sending::AttemptOutcome;
use crate::domain::{JobMatch, Language, State};
use crate::engine::DecisionError;
use crate::mirror::{Delivery, DeliveryOutcome, Query, Record, Sort, Standing};
use crate::notify::render;
use crate::web::answer::{ListedAnswer, WholeAnswer};

/// List matches, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle list --state pending --json")]
pub(super) struct Arguments {
    /// Only those in this state: pending, approved, rejected or sent.
    #[arg(long)]
    state: Option<State>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

/// Show one match with its history.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle show 57")]
pub(super) struct ShowArguments {
    /// The number.
    #[arg(value_parser = super::iid)]
    iid: u64,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let parts = context.parts().await?;
    let engine = &parts.engine;
    let query = Query {
        state: arguments.state,
        min_score: None,
        words: Vec::new(),
        since: None,
        sort: Sort::Created,
        after: None,
        limit: arguments.limit,
    };
    let (records, _) = engine.mirror().list(&query)?;
    if arguments.json {
        let matches = ListedAnswer::all(engine, &parts.notifier, records)?;
        print(&serde_json::to_string_pretty(&matches)?);
        return Ok(ExitCode::SUCCESS);
    }
    let width = terminal_width();
    for (record, deliveries) in records.iter().zip(parts.notifier.deliveries_of(&records)?) {
        print(&line(record, &held(&deliveries), width, context.colour));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(arguments: ShowArguments, context: &Context) -> anyhow::Result<ExitCode> {
    let parts = context.parts().await?;
    let engine = &parts.engine;
    let record = engine.mirror().record(arguments.iid)?.filter(|record| record.standing == Standing::Live);
    let Some(record) = record else { return Err(DecisionError::Unknown(arguments.iid).into()) };
    if arguments.json {
        let answer = WholeAnswer::of(engine, &parts.notifier, record)?;
        print(&serde_json::to_string_pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let steps = engine.mirror().steps(record.iid)?;
    let deliveries = parts.notifier.deliveries(&record)?;
    print(&line(&record, "", terminal_width(), context.colour));
    print(&record.web_url);
    for line in facts(&record.job, engine.policy().language) {
        print(&line);
    }
    for one in deliveries {
        let at = one.at.map(|at| format!(" at {at}")).unwrap_or_default();
        let until = one.deferred_until.map(|until| format!(" until {until}")).unwrap_or_default();
        let reason = one.reason.map(|reason| format!(" ({})", clean_line(&reason))).unwrap_or_default();
        print(&format!("{} {}: {}{at}{until}{reason}", one.channel, one.kind.as_str(), one.outcome.as_str()));
    }
    for line in sending(&record) {
        print(&line);
    }
    for step in steps {
        let comment = step.comment.map(|comment| format!(": {}", clean_line(&comment))).unwrap_or_default();
        print(&format!("{}  {} → {}  {}{comment}", step.at, step.from, step.to, clean_line(&step.by)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is known of a job, a line a fact.
fn facts(job: &JobMatch, language: Language) -> Vec<String> {
    let skills = |skills: &[String]| (!skills.is_empty()).then(|| clean_line(&skills.join(", ")));
    let more = [
        ("advertisement", job.url.as_ref().map(|url| url.as_str().to_owned())),
        ("skills", skills(&job.skills.matched)),
        ("missing skills", skills(&job.skills.missing)),
        ("summary", job.summary.as_deref().map(clean_line)),
    ];
    let more = more.into_iter().filter_map(|(name, said)| Some((name, said?)));
    let all = render::mail::facts(job, language).into_iter().chain(more);
    all.map(|(name, said)| format!("{}: {said}", name.replace('_', " "))).collect()
}

/// How draft and sending stand, in words.
fn sending(record: &Record) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(note) = record.sending.draft {
        lines.push(format!("draft: {}#note_{note}", record.web_url));
    }
    if let Some(sent) = record.sending.sent() {
        let at = sent.at.map(|at| format!(" at {at}")).unwrap_or_default();
        let because = sent
            .override_reason
            .as_deref()
            .map(|why| format!(" (in spite of a duplicate: {})", clean_line(why)));
        let (to, by) = (clean_line(&sent.to), clean_line(&sent.by));
        lines.push(format!(
            "sent to {to}{at} by {by}, Message-ID {}{}",
            sent.message_id,
            because.unwrap_or_default()
        ));
    } else if let Some(attempt) = record.sending.attempt.as_ref().filter(|_| record.state == State::Sent) {
        let by = attempt.resolved_by.as_ref().or(record.decided_by.as_ref());
        lines.push(format!(
            "it was uncertain whether the mail to {} left; {} set the match to sent",
            clean_line(&attempt.to),
            by.map_or_else(|| "somebody".to_owned(), |by| clean_line(by))
        ));
    } else if let Some(attempt) =
        record.sending.doubt().filter(|attempt| attempt.outcome == AttemptOutcome::Open)
    {
        lines.push(format!("under way: the mail to {} is being sent", clean_line(&attempt.to)));
    } else if let Some(doubt) = record.sending.doubt() {
        let why = doubt.reason.as_deref().map(|why| format!(" ({})", clean_line(why))).unwrap_or_default();
        lines.push(format!(
            "send_unknown: it is uncertain whether the mail to {} left{why}; look, then set job-match/sent, or POST \
             /api/v1/matches/{}/send with {{\"retry\": true}}",
            clean_line(&doubt.to),
            record.iid
        ));
    }
    lines
}

/// Until when the messages about a match are held, in words.
fn held(deliveries: &[Delivery]) -> String {
    let held = deliveries.iter().filter(|one| one.outcome == DeliveryOutcome::Deferred);
    let words = held.filter_map(|one| {
        let until = one.deferred_until?;
        Some(format!("{} held until {until} ({})", one.channel, one.reason.as_deref().unwrap_or_default()))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// As wide as the terminal; where the output is no terminal, as wide as it gets.
fn terminal_width() -> Option<usize> {
    let terminal = console::Term::stdout();
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

/// One match in one line. Foreign text loses what a terminal would obey, and what does not fit.
fn line(record: &Record, held: &str, width: Option<usize>, colour: bool) -> String {
    let score =
        record.job.score.map_or_else(|| "   ".to_owned(), |score| format!("{:>3}", score.whole_percent()));
    let company = record.job.company.as_ref().or(record.job.agency.as_ref());
    let company = company.map(|company| format!(" – {}", clean_line(company))).unwrap_or_default();
    let begin = format!("{:>5}  ", format!("#{}", record.iid));
    let state = format!("{:<8}", record.state);
    let mut rest = format!("  {score}  {}{company}", clean_line(&record.job.title));
    if !held.is_empty() {
        rest.push_str(&format!("  [{held}]"));
    }
    if let Some(width) = width {
        let room = width.saturating_sub(console::measure_text_width(&begin) + state.len());
        rest = console::truncate_str(&rest, room, "…").into_owned();
    }
    let state = if colour { format!("\x1b[{}m{state}\x1b[0m", code(record.state)) } else { state };
    format!("{begin}{state}{rest}")
}

const fn code(state: State) -> u8 {
    match state {
        State::Pending => 33,
        State::Approved => 32,
        State::Rejected => 31,
        State::Sent => 35,
    }
}
