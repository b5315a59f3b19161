//! One life of a service, from its first match to its end.

use std::collections::BTreeMap;
use std::sync::Mutex;

use vorhoelle::sandbox::{HookMode, Outage};

use crate::acts::act;
use crate::applications::Applications;
use crate::checks::{check, check_mails, come_to_rest, picture};
use crate::dice::Dice;
use crate::events::check_events;
use crate::other_ways::{OtherWays, PUBLIC};
use crate::receiver::Pipeline;
use crate::smtp::{MailServer, Mood};
use crate::support::{Difference, Disk, World};

/// Acts of one seed.
const ACTS: usize = 35;

/// How a service of a seed tells people.
const SETTINGS: [&str; 5] = [
    "language: en\nremind_after: off\nquiet_alarm_after: off\n",
    "language: en\nremind_after: off\nquiet_alarm_after: off\nchannels: {email: {delay: 5m}}\n",
    "language: en\nbatch: {mode: digest, every: 30m, max: 2}\nremind_after: off\nquiet_alarm_after: off\n",
    "language: en\nexpire_after: 1h\nremind_after: off\nquiet_alarm_after: off\n",
    "language: en\nremind_after: 1h\nquiet_alarm_after: off\n",
];

/// What happened that bears on what may be true at the end.
#[derive(Default)]
pub struct Past {
    /// The matches that the API accepted, by their id.
    pub accepted: BTreeMap<String, u64>,
    /// After each of these a message may come again: its receipt or the other side's yes may have been lost.
    pub repeats: usize,
    /// How many events had come when a disk was lost, each time.
    pub wiped: Vec<usize>,
    /// Whether that happened while there was something to be forgotten.
    pub forgot: bool,
    /// Whether a disk was lost at all: who is no reviewer counts then for what left a trace of having been followed.
    pub lost_disk: bool,
    /// Whether a copy that was read may have lagged: it lacks what was done just before.
    pub read_stale: bool,
    /// Whether labels were deleted: GitLab forgets what its events were about.
    pub deleted_labels: bool,
    /// Whether two instances followed the project: what one takes back the other may have followed.
    pub two_instances: bool,
    /// Whether people are reminded.
    pub reminds: bool,
    /// Whether only the reviewer may decide; else the colleague may too.
    pub enforced: bool,
}

/// A service with everybody around it.
pub struct Life {
    pub world: World,
    pub mails: MailServer,
    pub pipeline: Pipeline,
    pub past: Past,
    pub applications: Applications,
    pub ways: OtherWays,
}

impl Life {
    async fn new(dice: &mut Dice) -> Self {
        let mails = MailServer::start(false).await;
        let pipeline = Pipeline::start().await;
        let address: &'static str = Box::leak(format!("smtp://{}", mails.address).into_boxed_str());
        let mut variables =
            vec![("SMTP_URL", address), ("MAIL_FROM", "jobs@example.com"), ("MAIL_TO", "anna@example.com")];
        variables.extend(pipeline.variables());
        variables.extend([("PUBLIC_URL", PUBLIC), ("LINK_SECRET", "key-of-the-links-0123456789")]);
        let enforced = dice.roll(3) == 0;
        if enforced {
            variables.extend([("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]);
        }
        let file = *dice.pick(&SETTINGS);
        let reminds = !file.contains("remind_after: off");
        let file = Some(file);
        let world = World::with(Difference { variables, file, ..Difference::default() }).await;
        world.make_board();
        let past = Past { reminds, enforced, ..Past::default() };
        Self {
            world,
            mails,
            pipeline,
            past,
            applications: Applications::default(),
            ways: OtherWays::default(),
        }
    }

    /// Kills the service and starts it again; tells whether it could read GitLab.
    pub async fn die_and_rise(&mut self, disk: Disk) -> bool {
        if disk == Disk::Wiped {
            // The receipt of a message may not have reached GitLab yet.
            self.past.repeats += 1;
            self.past.forgot = true;
            self.past.lost_disk = true;
            self.past.wiped.push(self.pipeline.all().len());
            self.applications.forget_what_only_the_disk_knew();
        }
        self.world.kill(disk).await;
        self.world.start().await;
        self.world.engine.delta().await.is_ok()
    }
}

/// Lives; what was done is in the log where it ends badly.
pub async fn live(seed: u64, log: &Mutex<Vec<String>>) {
    let mut dice = Dice(seed);
    let mut life = Life::new(&mut dice).await;
    // Most acts are about a match; without one little happens.
    life.past.accepted.insert("0".to_owned(), life.world.stage("0").await);
    for _ in 0..ACTS {
        let act = act(&mut dice, &mut life).await;
        log.lock().unwrap().push(act);
        if dice.roll(3) > 0 {
            life.world.settle().await;
        }
        life.applications.watch(&life.mails, None);
    }
    life.world.sandbox.outage(Outage::None);
    life.world.sandbox.clear_faults();
    life.world.sandbox.hook_mode(HookMode::Deliver);
    life.mails.set_mood(Mood::Fine);
    life.pipeline.be_well();
    log.lock().unwrap().push("the storm is over".to_owned());
    come_to_rest(&life.world).await;
    life.ways.come_to_rest(&life.world).await;
    come_to_rest(&life.world).await;
    log.lock().unwrap().extend(what_gitlab_tells(&life.world));
    look(&mut life).await;
    check_mails(&life.world, &life.mails, &life.past, &life.ways.erased);
    let before = picture(&life.world, &life.ways.erased).await;
    let told = life.mails.mails().len();
    life.past.wiped.push(life.pipeline.all().len());
    life.past.lost_disk = true;
    life.world.restart(Disk::Wiped).await;
    come_to_rest(&life.world).await;
    assert_eq!(
        picture(&life.world, &life.ways.erased).await,
        before,
        "what GitLab alone tells is what the mirror knew"
    );
    // The next reminder may have been due since.
    assert!(life.past.reminds || life.mails.mails().len() == told, "a lost disk repeats no message");
    check_mails(&life.world, &life.mails, &life.past, &life.ways.erased);
    look(&mut life).await;
}

/// Everything that must hold at rest.
async fn look(life: &mut Life) {
    check(&life.world, &life.past, &life.ways.erased).await;
    life.applications.watch(&life.mails, None);
    life.applications.check(&life.world, &life.ways.erased).await;
    check_events(&life.world, &life.pipeline, &life.past, &life.ways.erased).await;
    life.ways.check(&life.world).await;
}

/// What happened to each issue as GitLab tells it, for whoever reads of a failure.
pub fn what_gitlab_tells(world: &World) -> Vec<String> {
    let gitlab = world.sandbox.world();
    let name =
        |id: u64| gitlab.users.iter().find(|user| user.id == id).map_or("?", |user| user.username.as_str());
    let mut told: Vec<_> = gitlab
        .label_events
        .iter()
        .map(|event| {
            let label = event.label.and_then(|id| gitlab.labels.iter().find(|label| label.id == id));
            let label = label.map_or("?", |label| label.name.as_str());
            let sign = if event.added { '+' } else { '-' };
            (event.iid, event.created_at, format!("{} {sign}{label} ({})", name(event.user), event.id))
        })
        .collect();
    told.extend(gitlab.state_events.iter().map(|event| {
        let what = if event.closed { "closes" } else { "reopens" };
        (event.iid, event.created_at, format!("{} {what}", name(event.user)))
    }));
    told.extend(gitlab.notes.iter().filter(|note| !note.system).map(|note| {
        let first = note.body.lines().next().unwrap_or_default();
        (note.iid, note.created_at, format!("{} says: {first}", name(note.author)))
    }));
    told.sort_by_key(|(iid, at, _)| (*iid, *at));
    told.into_iter().map(|(iid, at, what)| format!("  #{iid} {at} {what}")).collect()
}
