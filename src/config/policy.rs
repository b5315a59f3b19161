//! What people have set about matches and messages, checked and ready to be gone by.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::file::{self, BatchMode, File};
use super::{IssueLayer, Layers, duration, time_zone};
use crate::domain::decide::Reviewers;
use crate::domain::job_match::Score;
use crate::domain::schedule::{Batch, DigestTimes, QuietHours, Schedule};
use crate::domain::{Channel, Language};

/// Most matches in one message.
const LARGEST_DIGEST: u32 = 100;
/// Shortest span between digests.
const SHORTEST_EVERY: Duration = Duration::from_secs(1);
/// The days of the week as settings call them.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// What people have set.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Lowest score that is staged, in percent.
    pub min_score: f64,
    /// Who decides, and whether nobody else may.
    pub reviewers: Reviewers,
    /// In which language issues, comments and messages are written.
    pub language: Language,
    /// Whether issues are assigned to the first reviewer, which makes their ToDo.
    pub assign: bool,
    /// Whether a project is used that strangers can read.
    pub allow_public_project: bool,
    /// How often GitLab is read in case a webhook was lost.
    pub sync_interval: Duration,
    /// Earlier users of the service, whose issues, comments and reactions still count as its own.
    pub former_users: BTreeSet<u64>,
    /// When a pending match is reminded of; never where none.
    pub remind_after: Option<SignedDuration>,
    /// When an undecided match is rejected; never where none.
    pub expire_after: Option<SignedDuration>,
    /// When a pipeline that stages nothing is reported; never where none.
    pub quiet_alarm_after: Option<SignedDuration>,
    /// How each channel that carries messages sends.
    pub channels: BTreeMap<Channel, ChannelPolicy>,
}

/// How a channel sends.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelPolicy {
    /// Whether it may be on; its variables decide whether it is.
    pub enabled: bool,
    /// Whether its messages hold links that decide.
    pub action_links: bool,
    /// When it sends.
    pub schedule: Schedule,
}

/// A key whose value cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WrongSetting {
    /// The key, with points between its parts.
    pub key: String,
    /// What is wrong with it and what is allowed.
    pub message: String,
}

impl Layers {
    /// What holds when all layers are put together.
    ///
    /// # Errors
    ///
    /// Every key whose value cannot be used.
    pub fn policy(
        &self,
        issue: Option<&IssueLayer>,
        former_users: &BTreeSet<u64>,
    ) -> Result<Policy, Vec<WrongSetting>> {
        let file = self.together(issue);
        let mut reader = Reader::default();
        let policy = reader.policy(&file, former_users.clone());
        let alone = issue.map(|issue| wrong_values(&issue.file)).unwrap_or_default();
        let wrong = each_once(reader.wrong.into_iter().chain(alone));
        if wrong.is_empty() { Ok(policy) } else { Err(wrong) }
    }
}

/// Every value of one layer that cannot be used, whatever hides it: the day the other layer goes, it would count.
pub(super) fn wrong_values(file: &File) -> Vec<WrongSetting> {
    let mut reader = Reader { is_one_layer: true, ..Reader::default() };
    reader.policy(file, BTreeSet::new());
    // What each channel has of its own would hide these.
    reader.channel(Channel::Email, &file::Channel::default(), file);
    each_once(reader.wrong)
}

/// What all channels share is read once a channel.
fn each_once(all: impl IntoIterator<Item = WrongSetting>) -> Vec<WrongSetting> {
    let mut seen = HashSet::new();
    all.into_iter().filter(|one| seen.insert(one.clone())).collect()
}

/// Reads a file's texts and notes what is wrong.
#[derive(Default)]
struct Reader {
    wrong: Vec<WrongSetting>,
    /// Whether one layer is read alone: what it lacks may stand in another.
    is_one_layer: bool,
}

impl Reader {
    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.wrong.push(WrongSetting { key: key.to_owned(), message: message.into() });
    }

    /// Notes what is wrong with values together, each of which may be fine.
    fn unfit(&mut self, key: &str, message: impl Into<String>) {
        if !self.is_one_layer {
            self.wrong(key, message);
        }
    }

    /// The value, or the fallback and a note.
    fn checked<T>(&mut self, key: &str, value: Result<T, String>, fallback: T) -> T {
        value.unwrap_or_else(|message| {
            self.wrong(key, message);
            fallback
        })
    }

    fn policy(&mut self, file: &File, former_users: BTreeSet<u64>) -> Policy {
        let channels = file.channels.clone().unwrap_or_default();
        let min_score = file.min_score.unwrap_or(70.0);
        if Score::new(min_score).is_err() {
            self.wrong("min_score", "must be a number from 0 to 100, in percent");
        }
        let sync = file.sync_interval.as_deref().unwrap_or("5m");
        let sync_interval = self.checked("sync_interval", duration(sync), Duration::from_secs(300));
        if sync_interval < Duration::from_secs(1) {
            self.wrong("sync_interval", "must be a second at least");
        }
        let of = [
            (Channel::Email, channels.email),
            (Channel::Slack, channels.slack),
            (Channel::Whatsapp, channels.whatsapp),
        ];
        let mut policies = BTreeMap::new();
        for (channel, own) in of {
            policies.insert(channel, self.channel(channel, &own.unwrap_or_default(), file));
        }
        Policy {
            min_score,
            reviewers: self.reviewers(file),
            language: file.language.unwrap_or_default(),
            assign: channels.todo.and_then(|todo| todo.enabled).unwrap_or(true),
            allow_public_project: file.allow_public_project.unwrap_or(false),
            sync_interval,
            former_users,
            remind_after: self.span("remind_after", file.remind_after.as_deref()),
            expire_after: self.span("expire_after", file.expire_after.as_deref()),
            quiet_alarm_after: self.span("quiet_alarm_after", file.quiet_alarm_after.as_deref()),
            channels: policies,
        }
    }

    fn reviewers(&mut self, file: &File) -> Reviewers {
        let usernames = file.reviewers.clone().unwrap_or_default();
        for name in &usernames {
            // What GitLab allows in usernames; anything else could be text that GitLab runs.
            let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if name.is_empty() || !name.chars().all(fine) {
                self.wrong("reviewers", format!("`{name}` is no GitLab username; leave out the @"));
            }
        }
        let enforced = file.enforce_reviewers.unwrap_or(false);
        if enforced && usernames.is_empty() {
            self.unfit("enforce_reviewers", "is true and reviewers names nobody: no decision would count");
        }
        Reviewers { enforced, usernames }
    }

    fn span(&mut self, key: &str, text: Option<&str>) -> Option<SignedDuration> {
        let text = text.filter(|text| *text != "off")?;
        let span = match duration(text) {
            // Who writes it means off, and everything would be due at once.
            Ok(span) if span.is_zero() => Err("must be a second at least; or off".to_owned()),
            other => other.map_err(|error| format!("{error}; or off")),
        };
        let span = self.checked(key, span, Duration::ZERO);
        SignedDuration::try_from(span).ok()
    }

    fn channel(&mut self, channel: Channel, own: &file::Channel, file: &File) -> ChannelPolicy {
        let key = |name: &str| format!("channels.{channel}.{name}");
        let delay = own.delay.as_deref().unwrap_or("0s");
        let delay = self.checked(&key("delay"), duration(delay), Duration::ZERO);
        let quiet =
            self.quiet_hours(&key("quiet_hours"), own.quiet_hours.as_ref(), file.quiet_hours.as_ref());
        // Of the digests too, so that it may stand alone.
        let zone = self.zone(&key("quiet_hours"), own.quiet_hours.as_ref(), file.quiet_hours.as_ref());
        let batch = self.batch(&key("batch"), own.batch.as_ref(), file.batch.as_ref());
        ChannelPolicy {
            enabled: own.enabled.unwrap_or(true),
            // A mail goes to the reviewer's own box; other channels lead to GitLab unless the setting says otherwise.
            action_links: own.action_links.unwrap_or(channel == Channel::Email),
            schedule: Schedule {
                batch,
                quiet,
                delay: SignedDuration::try_from(delay).unwrap_or(SignedDuration::ZERO),
                zone,
            },
        }
    }

    fn batch(&mut self, own_key: &str, own: Option<&file::Batch>, all: Option<&file::Batch>) -> Batch {
        let (own, all) = (own.cloned().unwrap_or_default(), all.cloned().unwrap_or_default());
        // The channel's choice of times takes the place of the common one.
        let chosen = own.at.is_some() || own.every.is_some();
        let (times_key, times) = if chosen { (own_key, &own) } else { ("batch", &all) };
        let max = own.max.or(all.max).unwrap_or(20);
        if !(1..=LARGEST_DIGEST).contains(&max) {
            let key = if own.max.is_some() { own_key } else { "batch" };
            self.wrong(&format!("{key}.max"), format!("must be from 1 to {LARGEST_DIGEST}"));
        }
        let mode = own.mode.or(all.mode).unwrap_or(BatchMode::Immediate);
        // Where matches go one by one neither counts.
        if mode == BatchMode::Digest && times.at.is_some() && times.every.is_some() {
            let message =
                format!("stands beside {times_key}.every; only one of the two can hold, take one away");
            self.unfit(&format!("{times_key}.at"), message);
        }
        let times = self.digest_times(times_key, times);
        let digest = match mode {
            BatchMode::Immediate => None,
            BatchMode::Digest => Some(times.unwrap_or_else(|| {
                let key = if own.mode.is_some() { own_key } else { "batch" };
                self.unfit(
                    &format!("{key}.at"),
                    "a digest needs times, such as at: [\"08:00\"], or every: 2h",
                );
                DigestTimes::At(Vec::new())
            })),
        };
        Batch { digest, max: usize::try_from(max).unwrap_or(usize::MAX) }
    }

    fn digest_times(&mut self, key: &str, batch: &file::Batch) -> Option<DigestTimes> {
        let every = batch.every.as_deref().and_then(|every| {
            let key = format!("{key}.every");
            let span = self.checked(&key, duration(every), SHORTEST_EVERY);
            if span < SHORTEST_EVERY {
                self.wrong(&key, "must be a second at least");
            }
            SignedDuration::try_from(span).ok().map(DigestTimes::Every)
        });
        let Some(at) = &batch.at else { return every };
        let key = format!("{key}.at");
        if at.is_empty() {
            self.wrong(&key, "must name a time of day at least, such as [\"08:00\"]");
        }
        let times = at.iter().map(|text| self.checked(&key, time_of_day(text), Time::midnight()));
        Some(DigestTimes::At(times.collect()))
    }

    /// The zone of quiet hours and of the digests' times.
    fn zone(
        &mut self,
        own_key: &str,
        own: Option<&file::QuietHours>,
        all: Option<&file::QuietHours>,
    ) -> TimeZone {
        let name = |quiet: Option<&file::QuietHours>| quiet.and_then(|quiet| quiet.timezone.clone());
        let (key, name) = match name(own) {
            Some(name) => (own_key, Some(name)),
            None => ("quiet_hours", name(all)),
        };
        let zone = name.map_or_else(|| Ok(time_zone::of_this_machine()), |name| time_zone::named(&name));
        self.checked(&format!("{key}.timezone"), zone, TimeZone::UTC)
    }

    fn quiet_hours(
        &mut self,
        own_key: &str,
        own: Option<&file::QuietHours>,
        all: Option<&file::QuietHours>,
    ) -> Option<QuietHours> {
        if own.is_none() && all.is_none() {
            return None;
        }
        let (own, all) = (own.cloned().unwrap_or_default(), all.cloned().unwrap_or_default());
        let at =
            |is_own: bool, name: &str| format!("{}.{name}", if is_own { own_key } else { "quiet_hours" });
        let says_when = own.from.is_some() || own.to.is_some() || all.from.is_some() || all.to.is_some();
        let says_more = own.days.is_some()
            || all.days.is_some()
            || own.urgent_score.is_some()
            || all.urgent_score.is_some();
        if !says_when && !says_more {
            // The zone alone is the digests'.
            return None;
        }
        let mut time = |is_own: bool, name: &str, text: Option<String>| match text.as_deref() {
            Some(text) => self.checked(&at(is_own, name), time_of_day(text), Time::midnight()),
            None => {
                self.unfit(&at(is_own, name), "is missing; write a time of day such as \"22:00\"");
                Time::midnight()
            }
        };
        let from = time(own.from.is_some(), "from", own.from.clone().or(all.from.clone()));
        let to = time(own.to.is_some(), "to", own.to.clone().or(all.to.clone()));
        let zone = self.zone(own_key, Some(&own), Some(&all));
        let days_key = at(own.days.is_some(), "days");
        let days = own
            .days
            .or(all.days)
            .map_or_else(|| Ok(DAYS.map(|(_, day)| day).to_vec()), |names| weekdays(&names));
        let days = self.checked(&days_key, days, Vec::new());
        let urgent_key = at(own.urgent_score.is_some(), "urgent_score");
        let urgent = own
            .urgent_score
            .or(all.urgent_score)
            .map(|percent| Score::new(percent).map(Some).map_err(|error| error.to_string()));
        let urgent = urgent.and_then(|urgent| self.checked(&urgent_key, urgent, None));
        Some(QuietHours { from, to, zone, days, urgent })
    }
}

fn time_of_day(text: &str) -> Result<Time, String> {
    let wrong = || format!("`{text}` is no time of day; write hours and minutes, such as \"08:00\"");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let number = |part: &str| {
        let plain = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<i8>().ok().filter(|_| plain)
    };
    let parts = number(hours).zip(number(minutes).filter(|_| minutes.len() == 2));
    parts.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok()).ok_or_else(wrong)
}

fn weekdays(names: &[String]) -> Result<Vec<Weekday>, String> {
    let day = |name: &String| {
        let found = DAYS.iter().find(|(word, _)| *word == name).map(|(_, day)| *day);
        found.ok_or_else(|| format!("`{name}` is no day; use mon, tue, wed, thu, fri, sat or sun"))
    };
    names.iter().map(day).collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn read(yaml: &str) -> Result<Policy, Vec<WrongSetting>> {
        let layers =
            Layers::new("x.yml".to_owned(), yaml.to_owned(), File::parse(yaml).unwrap(), File::default());
        layers.policy(None, &BTreeSet::new())
    }

    fn wrong(yaml: &str) -> String {
        read(yaml)
            .unwrap_err()
            .iter()
            .map(|one| format!("{}: {}", one.key, one.message))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The example of the contract, section 10, as it stands there.
    #[test]
    fn the_contracts_example_is_understood() {
        let policy = read(
            "min_score: 70
language: de                      # or en
reviewers: [anna]
enforce_reviewers: false
allow_public_project: false
sync_interval: 5m
remind_after: 2d
expire_after: off
quiet_alarm_after: 3d
batch: {mode: immediate, at: [\"08:00\", \"17:30\"], every: 2h, max: 20}   # at or every
quiet_hours: {from: \"22:00\", to: \"07:00\", timezone: Europe/Vienna, days: [mon, tue, wed, thu, fri, sat, sun], urgent_score: 95}
channels:
  email: {enabled: true, batch: {mode: digest, at: [\"08:00\"]}, quiet_hours: {from: \"20:00\", to: \"08:00\"}, delay: 30m}
  slack: {action_links: false}
  whatsapp: {}
  todo: {}
",
        )
        .unwrap();
        let email = &policy.channels[&Channel::Email].schedule;
        assert_eq!(email.batch.digest, Some(DigestTimes::At(vec![time(8, 0, 0, 0)])));
        let quiet = email.quiet.as_ref().unwrap();
        assert_eq!((quiet.from, quiet.to), (time(20, 0, 0, 0), time(8, 0, 0, 0)));
        assert_eq!(quiet.zone.iana_name(), Some("Europe/Vienna"));
        assert_eq!(email.zone.iana_name(), Some("Europe/Vienna"));
        assert_eq!(email.delay, SignedDuration::from_mins(30));
        let slack = &policy.channels[&Channel::Slack];
        assert_eq!(slack.schedule.batch, Batch { digest: None, max: 20 });
        assert!(!slack.action_links && policy.assign);
        assert_eq!(slack.schedule.quiet.as_ref().unwrap().from, time(22, 0, 0, 0));
        assert_eq!((policy.remind_after, policy.expire_after), (Some(SignedDuration::from_hours(48)), None));
    }

    #[test]
    fn what_is_wrong_says_its_key_and_what_is_allowed() {
        let all = wrong(
            "min_score: 0.7\nremind_after: soon\nreviewers: [\"@anna\"]\nbatch: {mode: digest}\nquiet_hours: {from: \"25:00\", timezone: Wien, days: [montag], urgent_score: 0.9}\nchannels: {slack: {batch: {max: 0}}}\n",
        );
        for part in [
            "min_score: must be a number from 0 to 100",
            "remind_after: `soon` is no duration",
            "reviewers: `@anna` is no GitLab username",
            "batch.at: a digest needs times",
            "quiet_hours.from: `25:00` is no time of day",
            "quiet_hours.to: is missing",
            "quiet_hours.timezone: `Wien` is no time zone",
            "quiet_hours.days: `montag` is no day",
            "quiet_hours.urgent_score: scale is 0–100",
            "channels.slack.batch.max: must be from 1 to 100",
        ] {
            assert!(all.contains(part), "{part} in:\n{all}");
        }
        assert!(wrong("enforce_reviewers: true\n").contains("names nobody"));
        assert!(wrong("expire_after: 0d\n").contains("expire_after: must be a second at least; or off"));
    }

    #[test]
    fn one_layer_alone_is_wrong_in_its_values_and_not_in_what_another_may_say() {
        let of = |yaml: &str| -> Vec<String> {
            let wrong = wrong_values(&File::parse(yaml).unwrap());
            wrong.into_iter().map(|one| one.key).collect()
        };
        for fine in [
            "",
            "enforce_reviewers: true\nbatch: {mode: digest}\nquiet_hours: {from: \"22:00\", urgent_score: 95}\n",
            "batch: {mode: digest, at: [\"08:00\"], every: 2h}\n",
        ] {
            assert_eq!(of(fine), Vec::<String>::new(), "{fine}");
        }
        let own = "quiet_hours: {to: \"8:00\", from: \"7:00\", timezone: UTC}, batch: {at: [\"8:00\"]}";
        let hidden = format!(
            "min_score: 101\nbatch: {{every: x, at: [\"25:00\"]}}\nquiet_hours: {{to: \"25:00\", timezone: Wien}}\n\
             channels: {{email: {{{own}}}, slack: {{{own}}}, whatsapp: {{{own}}}}}\n"
        );
        assert_eq!(
            of(&hidden),
            ["min_score", "quiet_hours.to", "quiet_hours.timezone", "batch.every", "batch.at"]
        );
    }

    #[test]
    fn both_kinds_of_times_at_once_are_an_error_that_names_both_and_a_zone_may_stand_alone() {
        let said = wrong("batch: {mode: digest, at: [\"08:00\"], every: 2h}\n");
        assert!(said.contains("batch.at: stands beside batch.every"), "{said}");
        let said = wrong("channels: {slack: {batch: {mode: digest, at: [\"08:00\"], every: 2h}}}\n");
        assert!(said.contains("channels.slack.batch.at: stands beside channels.slack.batch.every"), "{said}");
        let policy =
            read("quiet_hours: {timezone: Europe/Vienna}\nbatch: {mode: digest, at: [\"08:00\"]}\n").unwrap();
        let schedule = &policy.channels[&Channel::Slack].schedule;
        assert_eq!((schedule.zone.iana_name(), &schedule.quiet), (Some("Europe/Vienna"), &None));
        assert!(wrong("quiet_hours: {timezone: Wien}\n").contains("quiet_hours.timezone: `Wien`"));
    }

    #[test]
    fn a_channels_own_times_take_the_place_of_the_common_ones() {
        let policy = read("batch: {mode: digest, at: [\"8:00\"]}\nchannels: {slack: {batch: {every: 2h}}, email: {batch: {mode: immediate}}}\n").unwrap();
        let digest = |channel| policy.channels[&channel].schedule.batch.digest.clone();
        assert_eq!(digest(Channel::Slack), Some(DigestTimes::Every(SignedDuration::from_hours(2))));
        assert_eq!(digest(Channel::Email), None);
        assert_eq!(digest(Channel::Whatsapp), Some(DigestTimes::At(vec![time(8, 0, 0, 0)])));
    }
}
