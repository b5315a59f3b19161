//! Drafts, applications that leave, and what the freelancer keeps track of.

use std::collections::{BTreeMap, BTreeSet};

use mail_parser::MessageParser;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vorhoelle::domain::history::Through;
use vorhoelle::outgoing::SendRequest;
use vorhoelle::sandbox::{Fault, Trouble};

use crate::checks::matches;
use crate::dice::Dice;
use crate::life::Life;
use crate::smtp::{MailServer, Mood};
use crate::support::{Disk, World};

/// Fields of the tracker that are set, and what to.
const FIELDS: [(&str, [&str; 2]); 3] = [
    ("stage", ["applied", "interview"]),
    ("notes", ["a\n@all /close", "b | c"]),
    ("follow_up_on", ["2026-12-01", "2027-01-07"]),
];

/// Somebody's word that an application is to be sent.
pub struct Order {
    iid: u64,
    /// Whether it says that an attempt in doubt is to be repeated.
    retry: bool,
    /// How often it was given at once.
    calls: usize,
}

/// What left, and what was kept track of.
#[derive(Default)]
pub struct Applications {
    /// Applications that left, by match.
    left: BTreeMap<u64, usize>,
    /// Matches for which somebody had the send repeated since the last one left.
    retried: BTreeSet<u64>,
    /// Matches whose application is known to have been sent.
    certain: BTreeSet<u64>,
    /// Letters are numbered.
    letters: usize,
    /// What a field of the tracker may hold: one value, or several where answers got lost.
    tracked: BTreeMap<(u64, &'static str), Vec<Value>>,
}

impl Applications {
    /// That a mail left may not have reached GitLab yet; then it is in doubt.
    pub fn forget_what_only_the_disk_knew(&mut self) {
        self.certain.clear();
    }

    /// Looks at what has left since the last time, and whether the order, if there was one, explains it.
    pub fn watch(&mut self, mails: &MailServer, order: Option<&Order>) {
        for (iid, now) in left(mails) {
            let before = self.left.insert(iid, now).unwrap_or_default();
            let more = now - before;
            if more == 0 {
                continue;
            }
            let order = order.filter(|order| order.iid == iid);
            let order = order.unwrap_or_else(|| panic!("the application of #{iid} left without an order"));
            assert!(
                more <= if order.retry { order.calls } else { 1 },
                "{more} applications of #{iid} at once"
            );
            let repeated = order.retry || self.retried.contains(&iid);
            assert!(before == 0 || repeated, "the application of #{iid} left again, and nobody wanted it");
            assert!(
                !self.certain.contains(&iid),
                "the application of #{iid} left again, although it was sent"
            );
            self.retried.remove(&iid);
        }
        if let Some(order) = order.filter(|order| order.retry) {
            self.retried.insert(order.iid);
        }
    }

    /// What must hold at rest. What is kept of an erased match goes with it, whoever makes its issue a match again.
    pub async fn check(&self, world: &World, erased: &BTreeSet<u64>) {
        for iid in matches(world) {
            let (status, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
            if status != StatusCode::OK {
                continue;
            }
            let left = self.left.get(&iid).copied().unwrap_or_default();
            let outcome = answer["send"]["outcome"].as_str();
            match outcome {
                Some("sent") => {
                    assert!(left > 0, "#{iid} says that it was sent: {answer}");
                    assert_eq!(answer["state"], "sent", "#{iid} was sent");
                }
                Some("resolved") => assert_eq!(answer["state"], "sent", "#{iid} is sent by somebody's word"),
                Some("send_unknown" | "under_way") => assert_ne!(answer["state"], "sent", "#{iid} is sent"),
                None => assert!(
                    left == 0 || self.retried.contains(&iid) || erased.contains(&iid),
                    "{left} applications of #{iid} left, and it knows of none: {answer}"
                ),
                other => panic!("#{iid} at rest: {other:?}"),
            }
            for ((of, field), values) in &self.tracked {
                let kept = &answer["application"][*field];
                assert!(
                    *of != iid || erased.contains(&iid) || values.contains(kept),
                    "{field} of #{iid} is {kept}, not one of {values:?}"
                );
            }
        }
    }
}

/// How many applications of each match arrived at the mail server.
fn left(mails: &MailServer) -> BTreeMap<u64, usize> {
    let mut left = BTreeMap::new();
    for mail in mails.mails() {
        let mail = MessageParser::default().parse(&mail.message).unwrap();
        let id = mail.message_id().unwrap();
        if let Some(rest) = id.strip_prefix("application.") {
            *left.entry(rest.split('.').next().unwrap().parse().unwrap()).or_default() += 1;
        }
    }
    left
}

/// One of the acts that are about applications.
pub async fn act(dice: &mut Dice, life: &mut Life, what: usize) -> String {
    let iids = matches(&life.world);
    let iid = if iids.is_empty() { 999 } else { *dice.pick(&iids) };
    match what {
        0..=3 => put(dice, life, iid).await,
        4 => edit(life, iid),
        5..=8 => send(dice, life, iid).await,
        9 => send_and_die_at_gitlab(dice, life, iid).await,
        10 => send_and_die_at_the_mail_server(dice, life, iid).await,
        11 | 12 => track(dice, life, iid).await,
        _ => {
            life.world.clock.advance(std::time::Duration::from_secs(60));
            life.world.outgoing.tick().await;
            "what is due goes out".to_owned()
        }
    }
}

async fn put(dice: &mut Dice, life: &mut Life, iid: u64) -> String {
    // A draft is of use on what is approved; sometimes it is put all the same.
    let approved = life.world.labels(iid).contains(&"job-match/approved".to_owned());
    if !approved && dice.roll(3) > 0 {
        life.world.person("reviewer").relabel(iid, &["job-match/approved"], &[]).ok();
        life.world.settle().await;
    }
    life.applications.letters += 1;
    let letter = format!("letter {} of #{iid}.", life.applications.letters);
    let to = *dice.pick(&["clara@agency.example", "clara@agency.example", "nobody@agency.example"]);
    let body = json!({"to": to, "subject": "Architect", "body": format!("Dear Clara, this is {letter}")});
    let mut request =
        life.world.http.put(life.world.url(&format!("/api/v1/matches/{iid}/draft"))).json(&body);
    if dice.roll(3) > 0 {
        request = request.header("if-match", "*");
    }
    format!("put {letter} {}", life.world.call(request).await.0)
}

/// The draft's comment as GitLab has it.
fn draft(world: &World, iid: u64) -> Option<(u64, String)> {
    let gitlab = world.sandbox.world();
    let bot = gitlab.user_named("bot")?.id;
    let notes = gitlab.comments_of(iid);
    let note = notes.iter().find(|note| note.author == bot && note.body.contains("Dear Clara"))?;
    Some((note.id, note.body.clone()))
}

/// Which letter a text is.
fn letter(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("this is letter ")?;
    Some(rest.chars().take_while(char::is_ascii_digit).collect())
}

fn edit(life: &mut Life, iid: u64) -> String {
    let Some((note, body)) = draft(&life.world, iid) else { return format!("#{iid} has no draft to edit") };
    life.applications.letters += 1;
    let Some(old) = letter(&body) else { return format!("the draft of #{iid} is odd") };
    let new = life.applications.letters.to_string();
    let body = body.replacen(&format!("letter {old}"), &format!("letter {new}"), 1);
    let done = life.world.person("reviewer").edit_comment(iid, note, &body);
    format!("the reviewer makes letter {old} of #{iid} letter {new}: {}", done.is_ok())
}

async fn order(world: &World, iid: u64, body: &Value) -> (StatusCode, Value) {
    world.call(world.http.post(world.url(&format!("/api/v1/matches/{iid}/send"))).json(body)).await
}

async fn send(dice: &mut Dice, life: &mut Life, iid: u64) -> String {
    let body = dice.pick(&[json!({}), json!({}), json!({"retry": true}), json!({"override": "yes"})]).clone();
    let twice = dice.roll(4) == 0;
    let meant = draft(&life.world, iid).and_then(|(_, body)| letter(&body));
    let before = left(&life.mails);
    let (first, second) = if twice {
        let (first, second) = tokio::join!(order(&life.world, iid, &body), order(&life.world, iid, &body));
        (first, Some(second))
    } else {
        (order(&life.world, iid, &body).await, None)
    };
    let orders = Order { iid, retry: body["retry"] == true, calls: 1 + usize::from(twice) };
    life.applications.watch(&life.mails, Some(&orders));
    if left(&life.mails).get(&iid) > before.get(&iid) {
        let mails = life.mails.mails();
        let last = MessageParser::default().parse(&mails.last().unwrap().message).unwrap();
        assert_eq!(
            letter(&last.body_text(0).unwrap()),
            meant,
            "what left is what stood in the draft of #{iid}"
        );
    }
    for (status, answer) in [Some(&first), second.as_ref()].into_iter().flatten() {
        if *status == StatusCode::OK && answer["message_id"].is_string() {
            life.applications.certain.insert(iid);
        }
    }
    format!("send #{iid} {body}: {} {:?}", first.0, second.map(|second| second.0))
}

/// GitLab cannot be reached any more while it sends, and the service dies.
async fn send_and_die_at_gitlab(dice: &mut Dice, life: &mut Life, iid: u64) -> String {
    let (method, path, after) = *dice.pick(&[
        ("PUT", "/notes/", 0),
        ("GET", "/notes", 1),
        ("GET", "/notes", 2),
        ("GET", "/notes", 3),
        ("POST", "/notes", 0),
        ("PUT", "/issues/", 0),
        ("PUT", "/issues/", 1),
        ("GET", "_events", 0),
    ]);
    let trouble = dice.pick(&[Trouble::CutBefore, Trouble::bad_gateway(), Trouble::CutBody]).clone();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    life.world.sandbox.fault(Fault::new(method.clone(), path, trouble.clone()).after(after).times(50));
    let retry = dice.roll(3) == 0;
    let (status, _) = order(&life.world, iid, &json!({ "retry": retry })).await;
    life.applications.watch(&life.mails, Some(&Order { iid, retry, calls: 1 }));
    life.world.sandbox.clear_faults();
    let disk = *dice.pick(&[Disk::Kept, Disk::Wiped]);
    let read = life.die_and_rise(disk).await;
    format!(
        "send #{iid}, retry {retry}, while {method} {path} meets {trouble:?} after {after}: {status}; killed, disk {disk:?}: {read}"
    )
}

/// The mail server has the message and says nothing; the service dies.
async fn send_and_die_at_the_mail_server(dice: &mut Dice, life: &mut Life, iid: u64) -> String {
    let mood = life.mails.mood();
    life.mails.set_mood(Mood::SilentAfterMessage);
    let before = left(&life.mails);
    let retry = dice.roll(3) == 0;
    let (outgoing, request) = (life.world.outgoing.clone(), SendRequest { retry, ..SendRequest::default() });
    let sending = tokio::spawn(async move { outgoing.send(iid, request, "anna", Through::Api).await });
    while !sending.is_finished() && left(&life.mails) == before {
        tokio::task::yield_now().await;
    }
    sending.abort();
    life.mails.set_mood(mood);
    life.applications.watch(&life.mails, Some(&Order { iid, retry, calls: 1 }));
    let disk = *dice.pick(&[Disk::Kept, Disk::Wiped]);
    let read = life.die_and_rise(disk).await;
    format!("send #{iid}, retry {retry}, and killed before the answer, disk {disk:?}: {read}")
}

async fn track(dice: &mut Dice, life: &mut Life, iid: u64) -> String {
    let (field, values) = *dice.pick(&FIELDS);
    let value = dice.pick(&[json!(values[0]), json!(values[1]), json!(null)]).clone();
    let body = json!({ field: value });
    let url = life.world.url(&format!("/api/v1/matches/{iid}/application"));
    let (status, _) = life.world.call(life.world.http.patch(url).json(&body)).await;
    let kept = life.applications.tracked.entry((iid, field)).or_insert_with(|| vec![json!(null)]);
    if status.is_success() {
        *kept = vec![value];
    } else if status.is_server_error() {
        // Whether it was written is not known.
        kept.push(value);
    }
    format!("track {body} of #{iid}: {status}")
}
