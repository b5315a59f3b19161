//! What holds for any merge.

use proptest::prelude::*;
use vorhoelle::csv::merge::Reason;
use vorhoelle::csv::{Field, Owner, Row, merge};

/// A value that a field may have; few, so that sides often agree.
fn value(field: Field) -> BoxedStrategy<String> {
    match field {
        Field::State => {
            prop_oneof![Just("pending"), Just("approved"), Just("rejected"), Just("sent"), Just("")]
                .prop_map(str::to_owned)
                .boxed()
        }
        Field::Stage => prop_oneof![Just("none"), Just("applied"), Just("offer"), Just("")]
            .prop_map(str::to_owned)
            .boxed(),
        _ => prop_oneof![Just(""), Just("a"), Just("b"), Just("c"), Just(" a\r\n"), Just("=1")]
            .prop_map(str::to_owned)
            .boxed(),
    }
}

/// A side that knows some of the fields, or all of them.
fn side(all: bool) -> impl Strategy<Value = Row> {
    let field = move |field: Field| {
        let there = if all { Just(true).boxed() } else { prop::bool::weighted(0.8).boxed() };
        (there, value(field)).prop_map(move |(there, value)| there.then_some((field, value)))
    };
    Field::ALL
        .into_iter()
        .map(field)
        .collect::<Vec<_>>()
        .prop_map(|values| values.into_iter().flatten().collect())
}

/// GitLab always knows a state.
fn gitlab() -> impl Strategy<Value = Row> {
    side(true).prop_map(|mut row: Row| {
        if row.text(Field::State).is_empty() {
            row.set(Field::State, "pending");
        }
        row
    })
}

proptest! {
    #[test]
    fn nothing_is_lost_silently(base in proptest::option::of(side(false)), file in side(false), gitlab in gitlab()) {
        let plan = merge(base.as_ref(), &file, &gitlab);
        let (mut new_file, mut new_gitlab) = (file.clone(), gitlab.clone());
        plan.apply(&mut new_file, &mut new_gitlab);
        for (field, was) in file.iter() {
            let known = base.as_ref().and_then(|base| base.get(field)).is_some_and(|base| field.same(base, was));
            let kept = plan.conflicts.iter().any(|conflict| conflict.field == field && conflict.file == was);
            let stays = field.same(new_file.text(field), was);
            prop_assert!(known || kept || stays || field.says_nothing(was), "the file's {field} {was:?}");
            // GitLab's own changes always win; what it loses is what the file was edited from.
            let was = gitlab.text(field);
            let known = base.as_ref().and_then(|base| base.get(field)).is_some_and(|base| field.same(base, was));
            prop_assert!(known || field.says_nothing(was) || field.same(new_gitlab.text(field), was), "GitLab's {field}");
        }
    }

    #[test]
    fn both_sides_agree_afterwards(base in proptest::option::of(side(false)), file in side(false), gitlab in gitlab()) {
        let plan = merge(base.as_ref(), &file, &gitlab);
        let (mut new_file, mut new_gitlab) = (file.clone(), gitlab.clone());
        plan.apply(&mut new_file, &mut new_gitlab);
        for (field, value) in new_file.iter() {
            let own = plan.file_only.contains(&field);
            prop_assert!(own || field.same(value, new_gitlab.text(field)), "{field}");
        }
        let again = merge(Some(&plan.base_afterwards(base.as_ref(), &file, &gitlab)), &new_file, &new_gitlab);
        prop_assert!(again.is_empty(), "{again:?}");
        // Nor does a second run do anything after the base was lost.
        let without = merge(None, &new_file, &new_gitlab);
        prop_assert!(without.is_empty(), "{without:?}");
    }

    #[test]
    fn the_match_and_the_columns_that_are_not_there_are_left_alone(
        base in proptest::option::of(side(false)), file in side(false), gitlab in gitlab(),
    ) {
        let plan = merge(base.as_ref(), &file, &gitlab);
        for change in &plan.to_gitlab {
            prop_assert_eq!(change.field.owner(), Owner::Tracker);
        }
        for change in plan.to_file.iter().chain(&plan.to_gitlab) {
            prop_assert!(file.get(change.field).is_some());
        }
        for conflict in &plan.conflicts {
            prop_assert_eq!(conflict.reason == Reason::NoBase, base.as_ref().and_then(|base| base.get(conflict.field)).is_none());
        }
    }
}
