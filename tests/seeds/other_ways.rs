//! Ways that fewer matches go: links, the spreadsheet, quick actions, issues made by hand; what GitLab can do to an issue beside its
//! labels; and what strangers write to be taken for the service.

use std::collections::BTreeSet;

use mail_parser::MessageParser;
use reqwest::StatusCode;
use serde_json::Value;
use vorhoelle::csv::CsvFile;
use vorhoelle::csv::sync::{Direction, Outcome, Run, SyncError};
use vorhoelle::sandbox::{IssueType, Outage};

use crate::checks::matches;
use crate::dice::Dice;
use crate::life::Life;
use crate::sheet::Sheet;
use crate::smtp::MailServer;
use crate::support::{STATES, World};

/// Where the links in mails lead.
pub const PUBLIC: &str = "https://jobs.example";

/// How many of them there are.
pub const ACTS: usize = 18;

/// What went these ways.
pub struct OtherWays {
    /// Links whose button was pressed.
    pressed: BTreeSet<String>,
    /// Matches that somebody wants removed.
    pub unwanted: BTreeSet<u64>,
    /// Matches whose data was removed.
    pub erased: BTreeSet<u64>,
    sheet: Sheet,
    /// Rows that somebody wrote.
    rows: usize,
    /// Issues that somebody made by hand.
    made: usize,
}

impl Default for OtherWays {
    fn default() -> Self {
        Self {
            pressed: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            erased: BTreeSet::new(),
            sheet: Sheet::new("iid;Status;Titel;Firma;Nächster Schritt\r\n"),
            rows: 0,
            made: 0,
        }
    }
}

impl OtherWays {
    /// What was begun is done once nothing stands in its way.
    pub async fn come_to_rest(&mut self, world: &World) {
        for iid in std::mem::take(&mut self.unwanted) {
            if world.engine.erase(iid).await.is_ok() {
                self.erased.insert(iid);
            }
        }
        world.settle().await;
        self.synchronise(world).await.unwrap();
        world.settle().await;
    }

    /// What must hold at rest.
    pub async fn check(&self, world: &World) {
        self.synchronise(world).await.unwrap();
        world.settle().await;
        let again = self.synchronise(world).await.unwrap();
        assert!(!again.file_changed, "a second run changes the file: {:?}", again.plan);
        let text = self.sheet.text();
        let mut known = BTreeSet::new();
        for row in text.trim_start_matches('\u{feff}').lines().skip(1) {
            let cells: Vec<&str> = row.split(';').collect();
            let iid: u64 = cells[0].parse().unwrap_or_else(|_| panic!("a row without its issue: {row}"));
            assert!(known.insert(iid), "#{iid} has two rows:\n{text}");
            let (status, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
            if status == StatusCode::OK {
                let next = answer["application"]["next_step"].as_str().unwrap_or_default();
                assert_eq!(
                    (cells[1], cells[4]),
                    (answer["state"].as_str().unwrap(), next),
                    "row of #{iid}:\n{text}"
                );
            }
        }
        let mut by_link = 0;
        for iid in matches(world) {
            let (status, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
            if status == StatusCode::OK {
                assert!(known.contains(&iid), "#{iid} has no row:\n{text}");
                by_link += steps_by_link(&answer);
            }
        }
        assert!(by_link <= self.pressed.len(), "{by_link} steps by {} links", self.pressed.len());
    }

    async fn synchronise(&self, world: &World) -> Result<Outcome, SyncError> {
        let file = CsvFile::open(&self.sheet.path)?;
        Run::start(&world.engine, &file, Direction::Sync, usize::MAX)?
            .carry_out(world.clock.now(), |_| {})
            .await
    }
}

fn steps_by_link(answer: &Value) -> usize {
    let steps = answer["history"].as_array().unwrap().iter().filter(|step| step["through"] == "link");
    steps.inspect(|step| assert_eq!(step["by"], "link:email", "{answer}")).count()
}

/// One of the acts that go these ways.
pub async fn act(dice: &mut Dice, life: &mut Life, what: usize) -> String {
    let iids = matches(&life.world);
    let iid = if iids.is_empty() { 999 } else { *dice.pick(&iids) };
    let who = *dice.pick(&["reviewer", "colleague"]);
    let person = life.world.person(who);
    match what {
        0 | 1 => press(dice, life).await,
        2 | 3 => edit_a_row(dice, life),
        4 => add_a_row(dice, life),
        5..=7 => {
            let ended = life.ways.synchronise(&life.world).await;
            format!(
                "the spreadsheet is synchronised: {}",
                ended.map_or_else(|error| error.to_string(), |_| "done".to_owned())
            )
        }
        8 | 9 => {
            let text = *dice.pick(&[
                "Fine.\n\n/label ~\"job-match/approved\"",
                "/label ~\"job-match/rejected\"\n/unlabel ~\"job-match/pending\"",
                "/unlabel ~\"job-match/pending\"",
                "/close",
                "/reopen",
            ]);
            format!("{who} comments {text:?} on #{iid}: {}", person.comment(iid, text).is_ok())
        }
        10 => format!("{who} edits nothing about #{iid}: {}", person.relabel(iid, &[], &[]).is_ok()),
        11 => {
            let on = dice.roll(2) == 0;
            format!("{who} sets #{iid} confidential {on}: {}", person.set_confidential(iid, on).is_ok())
        }
        12 => {
            let kind = *dice.pick(&[IssueType::Issue, IssueType::Task, IssueType::Incident]);
            format!("{who} makes #{iid} a {kind:?}: {}", person.set_type(iid, kind).is_ok())
        }
        13 => {
            let outage = *dice.pick(&[Outage::None, Outage::None, Outage::Refused, Outage::BadGateway]);
            life.world.sandbox.outage(outage);
            format!("GitLab's outage: {outage:?}")
        }
        14 => forge(dice, life, iid),
        15 => match dice.roll(3) {
            0 => format!("the owner moves #{iid}: {}", life.world.person("owner").move_issue(iid).is_ok()),
            _ => {
                format!("the owner deletes #{iid}: {}", life.world.person("owner").delete_issue(iid).is_ok())
            }
        },
        16 => {
            let done = life.world.engine.erase(iid).await;
            let said = format!("#{iid} is erased: {:?}", done.as_ref().err().map(ToString::to_string));
            let way = if done.is_ok() { &mut life.ways.erased } else { &mut life.ways.unwanted };
            way.insert(iid);
            said
        }
        _ => {
            life.ways.made += 1;
            let title = format!("By hand {}", life.ways.made);
            let labels = ["job-match".to_owned(), format!("job-match/{}", dice.pick(&STATES))];
            let labels: Vec<&str> = labels[..1 + dice.roll(2)].iter().map(String::as_str).collect();
            let made = person.create_issue(&title, "", &labels);
            format!("{who} makes an issue of {labels:?} by hand: {:?}", made.ok())
        }
    }
}

/// Presses the button of some link of some mail.
async fn press(dice: &mut Dice, life: &mut Life) -> String {
    let links = links(&life.mails);
    if links.is_empty() {
        return "no mail has a link".to_owned();
    }
    let path = dice.pick(&links).clone();
    let answer =
        life.world.http.post(life.world.url(&path)).form(&[("comment", "by link")]).send().await.unwrap();
    let status = answer.status();
    assert!(
        [200, 404, 409, 410, 502, 503].contains(&status.as_u16()),
        "{status} to {path}: {}",
        answer.text().await.unwrap()
    );
    if status.is_success() || status.is_server_error() {
        life.ways.pressed.insert(path.clone());
    }
    format!("{path} is pressed: {status}")
}

/// All that were mailed.
fn links(mails: &MailServer) -> Vec<String> {
    let mut links = Vec::new();
    for mail in mails.mails() {
        let mail = MessageParser::default().parse(&mail.message).unwrap();
        let text = mail.body_text(0).unwrap();
        let paths = text.split_whitespace().filter_map(|word| word.strip_prefix(PUBLIC));
        links.extend(paths.filter(|path| path.starts_with("/a/")).map(str::to_owned));
    }
    links
}

/// Somebody changes a cell, as a spreadsheet would.
fn edit_a_row(dice: &mut Dice, life: &mut Life) -> String {
    let path = &life.ways.sheet.path;
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    if rows.len() < 2 {
        return "the spreadsheet has no row to edit".to_owned();
    }
    let row = 1 + dice.roll(rows.len() - 1);
    let mut cells: Vec<&str> = rows[row].split(';').collect();
    let (column, value) =
        if dice.roll(2) == 0 { (1, *dice.pick(&STATES)) } else { (4, *dice.pick(&["", "call", "wait"])) };
    cells[column] = value;
    let said = format!("the row of #{} says {value:?}", cells[0]);
    rows[row] = cells.join(";");
    std::fs::write(path, rows.join("\r\n") + "\r\n").unwrap();
    said
}

/// Somebody writes down what the service does not know.
fn add_a_row(dice: &mut Dice, life: &mut Life) -> String {
    let path = &life.ways.sheet.path;
    let text = std::fs::read_to_string(path).unwrap();
    let state = *dice.pick(&STATES);
    life.ways.rows += 1;
    let row = format!(";{state};Row {};Nordlicht;call", life.ways.rows);
    std::fs::write(path, format!("{text}{row}\r\n")).unwrap();
    format!("a row is added: {row}")
}

/// A stranger repeats what the service wrote, or says what only it may say.
fn forge(dice: &mut Dice, life: &Life, iid: u64) -> String {
    let all: Vec<String> =
        matches(&life.world).into_iter().flat_map(|iid| life.world.comments(iid)).collect();
    let stranger = life.world.person("colleague");
    if all.is_empty() || dice.roll(3) == 0 {
        let emoji = *dice.pick(&["e-mail", "alarm_clock"]);
        return format!("colleague reacts {emoji} to #{iid}: {}", stranger.react(iid, emoji).is_ok());
    }
    let text = dice.pick(&all);
    let first = text.lines().next().unwrap_or_default();
    format!(
        "colleague says on #{iid} what the service said, {first}: {}",
        stranger.comment(iid, text).is_ok()
    )
}
