//! A comparison for people.

use crate::{Align, Cell, Comparison, Layout, Pair, RunHead, Side, TRIALS_MIN, day::minute_of, layout::visible};
use rtt_units::Nanos;

/// The comparison as text: what was compared, how the hosts differed, the arms, and what to make of it.
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for (letter, head) in [("A", &comparison.a), ("B", &comparison.b)] {
        text += &format!("{letter}  {}\n", head_in_words(head));
    }
    text += &hosts(comparison);
    text += &arms(comparison);
    if !comparison.not_compared.is_empty() {
        text += "\nNot compared\n";
        text.extend(comparison.not_compared.iter().map(|line| format!("  {}\n", visible(line))));
    }
    let notes = comparison.pairs.iter().flat_map(|pair| pair.notes.iter().map(move |note| (pair, note)));
    text.extend(notes.map(|(pair, note)| format!("\nnote: {}: {note}", visible(&condition(pair)))));
    text + "\nnote: latencies are quantiles of whole histograms, merged over settled trials; the interval is a 95 %\n\
            bootstrap over trials. The runs were not interleaved: what changed on the host between them is in the ratio.\n\
            Read it as advice; a verdict needs pairs in random order, as `cargo xtask tune` confirms with.\n"
}

fn head_in_words(head: &RunHead) -> String {
    let verdicts = head.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect::<Vec<_>>();
    let verdicts = if verdicts.is_empty() { "no trials".to_owned() } else { verdicts.join(", ") };
    let began = minute_of(head.created_unix_s);
    format!("{}  machine {}  {began}  lab {}  {verdicts}", visible(&head.run), head.machine, visible(&head.tool))
}

fn hosts(comparison: &Comparison) -> String {
    let mut layout = Layout::new([("host", Align::Left), ("A", Align::Right), ("B", Align::Right)]);
    for pair in &comparison.differences {
        layout.push(vec![pair.field.clone(), pair.a.clone(), pair.b.clone()]);
    }
    for pair in &comparison.figures {
        if (&pair.a, &pair.b) != (&Cell::Absent, &Cell::Absent) {
            layout.push(vec![pair.figure.to_owned(), pair.unit.show(&pair.a), pair.unit.show(&pair.b)]);
        }
    }
    let same = if comparison.differences.is_empty() { "Hosts, tools and endpoints are alike by name.\n" } else { "" };
    format!("\n{same}{}", layout.to_text())
}

fn condition(pair: &Pair) -> String {
    format!("{}, {}, {}", pair.scenario, if pair.faulted { "faulted" } else { "calm" }, pair.arm)
}

fn arms(comparison: &Comparison) -> String {
    if comparison.pairs.is_empty() {
        return "\nNo arm stands in both runs with one set of knobs each.\n".to_owned();
    }
    let left = ["scenario", "condition", "arm"].map(|name| (name, Align::Left));
    let right =
        ["settled", "p50 A", "p50 B", "p99 A", "p99 B", "p99.9 A", "p99.9 B", "CPU A", "CPU B", "p99 B/A", "95 %"];
    let head = left.into_iter().chain(right.map(|name| (name, Align::Right))).chain([("reading", Align::Left)]);
    let mut layout = Layout::new(head);
    for pair in &comparison.pairs {
        layout.push(arm_row(pair));
        for regime in &pair.regimes {
            let mut row = vec![String::new(); 15];
            let [a, b] = regime.cpus;
            row[2] = format!("  regime {} of CPUs {a} and {b}", Nanos(regime.center_ns));
            row[3] = format!("{} : {}", regime.trials_a, regime.trials_b);
            (row[6], row[7]) = (Nanos(regime.p99_ns_a).to_string(), Nanos(regime.p99_ns_b).to_string());
            (row[12], row[13]) = (format!("{:.3}", regime.ratio), interval_in_words(regime.interval));
            layout.push(row);
        }
    }
    format!("\n{}", layout.to_text())
}

fn arm_row(pair: &Pair) -> Vec<String> {
    let nanos = |side: &Side, at: fn(&rtt_measure::Quantiles) -> u64| {
        side.latency_ns.as_ref().map_or_else(|| "-".into(), |quantiles| Nanos(at(quantiles)).to_string())
    };
    let tail = |side: &Side| match &side.latency_ns {
        Some(quantiles) => format!("{} (n {})", Nanos(quantiles.p999), quantiles.n),
        None => "-".into(),
    };
    let cpu = |side: &Side| side.cpu_millicores.map_or_else(|| "-".into(), |cpu| format!("{cpu:.0}m"));
    vec![
        pair.scenario.clone(),
        if pair.faulted { "faulted".into() } else { "calm".into() },
        pair.arm.into(),
        format!("{} : {}", pair.a.settled, pair.b.settled),
        nanos(&pair.a, |q| q.p50),
        nanos(&pair.b, |q| q.p50),
        nanos(&pair.a, |q| q.p99),
        nanos(&pair.b, |q| q.p99),
        tail(&pair.a),
        tail(&pair.b),
        cpu(&pair.a),
        cpu(&pair.b),
        pair.ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.3}")),
        interval_in_words(pair.interval),
        reading(pair),
    ]
}

fn interval_in_words(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(|| "-".into(), |[low, high]| format!("{low:.3}..{high:.3}"))
}

fn reading(pair: &Pair) -> String {
    let mut words = match pair.estimate() {
        Some(estimate) if estimate.low > 1.0 => "B slower".to_owned(),
        Some(estimate) if estimate.high < 1.0 => "B faster".to_owned(),
        Some(_) => "no difference shown".to_owned(),
        None if pair.ratio.is_none() => "no result on a side".to_owned(),
        None => format!("fewer than {TRIALS_MIN} trials on a side: no interval"),
    };
    for (letter, side) in [("A", &pair.a), ("B", &pair.b)] {
        if side.crashed > 0 {
            words += &format!("; {letter} crashed {} times", side.crashed);
        }
        if side.lost > 0 {
            words += &format!("; {letter} lost {} messages", side.lost);
        }
    }
    words
}
