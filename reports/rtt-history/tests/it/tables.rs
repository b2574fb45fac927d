//! Tables: groups against a plain model, quantiles against a direct merge, refusals by name.

use crate::lab::{BEGAN, Lab, drawn, header, histogram, named, trial, trials};
use rtt_measure::{Arm, TrialRecord, Verdict, decode_histogram};
use rtt_profile::Wait;
use rtt_units::SplitMix64;
use std::{collections::BTreeMap, fs};

/// Runs on two machines and three days with drawn arms, scenarios, faults and verdicts; each trial with its run's name.
fn several_runs(lab: &Lab) -> Vec<(String, TrialRecord)> {
    let mut draws = SplitMix64::new(11);
    let mut all = Vec::new();
    for run in 0..5_u64 {
        let name = format!("run{run}");
        let mut header = header(&name);
        header.created_unix_s = BEGAN + run / 2 * 86_400;
        header.fingerprint.machine.stepping = (run % 2) as u32;
        let mut trials = Vec::new();
        for at in 0..30 {
            let samples = 1 + draws.below(300);
            let scale = 10_f64.powf(2.0 + 3.0 * draws.unit());
            let mut trial = trial(format!("t{at}"), &drawn(&mut draws, samples, scale));
            trial.arm = [Arm::Incumbent, Arm::Candidate, Arm::Search][draws.below(3) as usize];
            trial.scenario = named(["steady", "burst"][draws.below(2) as usize]);
            trial.faults = draws.coin().then(|| rtt_seal::Digest::of(b"plan"));
            trial.knobs.wait = [Wait::Yield, Wait::Futex][draws.below(2) as usize];
            trial.cpu_millicores = draws.below(2_000);
            trial.handled -= draws.below(2);
            if draws.below(5) == 0 {
                trial.verdict = Verdict::NeverSettled;
            }
            trials.push(trial);
        }
        all.extend(trials.iter().map(|trial| (name.clone(), trial.clone())));
        lab.run(header, trials);
    }
    assert_eq!(lab.rtt(&["export", "."]).code, 0);
    all
}

fn csv(lab: &Lab, words: &[&str]) -> Vec<String> {
    let answer = lab.rtt(&[&["table", "--csv"], words].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.out.lines().skip(1).map(str::to_owned).collect()
}

/// The model: groups by `key`, and `trials,settled,samples,p50,p99,p999,lowest p99,mean CPU,lost` of each.
fn model(all: &[(String, TrialRecord)], key: impl Fn(&str, &TrialRecord) -> String) -> Vec<String> {
    let mut groups: BTreeMap<String, Vec<&TrialRecord>> = BTreeMap::new();
    for (run, trial) in all {
        groups.entry(key(run, trial)).or_default().push(trial);
    }
    let line = |(key, group): (String, Vec<&TrialRecord>)| {
        let settled: Vec<_> = group.iter().filter(|trial| trial.verdict == Verdict::Settled).collect();
        let mut merged = histogram([]);
        for trial in &settled {
            let text = trial.histogram.as_ref().expect("a histogram");
            merged.add(decode_histogram(text).expect("a histogram")).expect("it grows");
        }
        let at =
            |quantile| if merged.is_empty() { String::new() } else { merged.value_at_quantile(quantile).to_string() };
        let lowest = settled.iter().filter_map(|trial| trial.quantiles).map(|quantiles| quantiles.p99).min();
        let cpu: u64 = settled.iter().map(|trial| trial.cpu_millicores).sum();
        let cpu = if settled.is_empty() { String::new() } else { (cpu as f64 / settled.len() as f64).to_string() };
        let lost: u64 = group.iter().map(|trial| trial.sent - trial.handled).sum();
        let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
        let lowest = lowest.map(|p99| p99.to_string()).unwrap_or_default();
        format!("{key},{},{},{},{p50},{p99},{p999},{lowest},{cpu},{lost}", group.len(), settled.len(), merged.len())
    };
    groups.into_iter().map(line).collect()
}

/// HISTORY-3: any grouping gives what merging the same trials' histograms directly gives.
#[test]
fn groups_are_those_of_a_plain_model() {
    let lab = Lab::new();
    let all = several_runs(&lab);
    let arm = |trial: &TrialRecord| format!("{:?}", trial.arm).to_lowercase();
    let check = |by: &str, key: &dyn Fn(&str, &TrialRecord) -> String| {
        let columns = "trials,settled,samples,p50,p99,p999,trial_ns_p99_min,cpu_millicores,lost";
        assert_eq!(csv(&lab, &["--by", by, "--columns", columns]), model(&all, key), "{by}");
    };
    check("run", &|run, _| run.to_owned());
    check("arm", &|_, trial| arm(trial));
    check("scenario,faulted,arm", &|_, trial| {
        format!("{},{},{}", trial.scenario.name, trial.faults.is_some(), arm(trial))
    });
    check("run,scenario,faulted,arm,knob_batch", &|run, trial| {
        let faulted = trial.faults.is_some();
        format!("{run},{},{faulted},{},{}", trial.scenario.name, arm(trial), trial.knobs.batch)
    });
}

#[test]
fn filters_and_days_leave_rows_out() {
    let lab = Lab::new();
    let all = several_runs(&lab);
    let count = |words: &[&str]| csv(&lab, &[&["--by", "scenario", "--columns", "trials"], words].concat());
    let steady = |keep: &dyn Fn(&str, &TrialRecord) -> bool| {
        let kept = all.iter().filter(|(run, trial)| trial.scenario.name == "steady" && keep(run, trial));
        vec![format!("steady,{}", kept.count())]
    };
    let only = "scenario=steady";
    assert_eq!(count(&["--where", only]), steady(&|_, _| true));
    assert_eq!(count(&["--where", only, "--where", "faulted=true"]), steady(&|_, trial| trial.faults.is_some()));
    assert_eq!(count(&["--where", only, "--where", "run=run3"]), steady(&|run, _| run == "run3"));
    assert_eq!(count(&["--where", only, "--until", "2026-11-23"]), steady(&|run, _| run < "run2"));
    let middle = ["--where", only, "--since", "2026-11-24", "--until", "2026-11-24"];
    assert_eq!(count(&middle), steady(&|run, _| run == "run2" || run == "run3"));
    assert_eq!(count(&["--where", only, "--where", "day=2026-11-25"]), steady(&|run, _| run == "run4"));
    let nothing = lab.rtt(&["table", "--where", "scenario=absent"]);
    assert!(nothing.code == 4 && nothing.err.contains("none of the 5 files"), "{nothing:?}");
    let no_file = lab.rtt(&["table", "--since", "2027-01-01"]);
    assert_eq!(no_file.code, 4, "{no_file:?}");
}

/// HISTORY-3: where an average of quantiles would lie, the merged quantile does not.
#[test]
fn quantiles_are_not_averaged() {
    let lab = Lab::new();
    // 10 000 fast samples and 100 slow ones: together the slow ones are the last hundredth; apart, one trial's all.
    let (fast, slow) = (histogram(vec![1_000; 10_000]), histogram(vec![1_000_000; 100]));
    lab.run(header("r"), [trial("fast", &fast), trial("slow", &slow)]);
    assert_eq!(lab.rtt(&["export"]).code, 0);
    let rows = csv(&lab, &["--by", "arm", "--columns", "p50,p99,p999,samples,trial_ns_p99_median"]);
    let (mut merged, mean) = (fast.clone(), (1_000 + slow.value_at_quantile(0.99)) as f64 / 2.0);
    merged.add(&slow).expect("it grows");
    assert_eq!(merged.value_at_quantile(0.99), 1_000);
    assert_eq!(rows, [format!("incumbent,1000,1000,{},10100,{mean}", merged.value_at_quantile(0.999))]);
}

#[test]
fn the_three_forms_say_the_same() {
    let lab = Lab::new();
    let mut bare = trial("bare", &histogram([5]));
    bare.histogram = None;
    lab.run(header("r"), trials(1, 3, 2_000.0).into_iter().chain([bare]));
    assert_eq!(lab.rtt(&["export"]).code, 0);
    let json =
        lab.rtt(&["table", "--by", "machine,faulted", "--columns", "trials,p99,cpu_millicores", "--json"]).json();
    assert_eq!((&json["version"], &json["files"]), (&1.into(), &1.into()));
    assert_eq!(json["measures"][1], "latency_ns_p99");
    let p99 = json["rows"][0]["latency_ns_p99"].as_u64().expect("a number");
    assert_eq!(json["rows"][0]["faulted"], false);
    assert!(json["notes"][0].as_str().is_some_and(|note| note.starts_with("1 settled trials have no histogram")));
    let text = lab.rtt(&["table", "--by", "machine,faulted", "--columns", "trials,p99,cpu_millicores"]).out;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["machine", "faulted", "trials", "p99", "cpu_millicores"]);
    assert_eq!(lines[2][1..], ["false", "4", &rtt_units::Nanos(p99).to_string(), "900m"]);
    assert!(lines[3].starts_with(&["note:", "1", "settled"]), "{text}");
}

#[test]
fn an_empty_data_set_says_what_to_do() {
    let lab = Lab::new();
    let answer = lab.rtt(&["table"]);
    assert_eq!((answer.code, answer.out.as_str()), (4, ""), "{answer:?}");
    assert!(answer.err.contains("rtt-history append --root ."), "{answer:?}");
}

/// A file that is cut, foreign or of another format is named with its run, and no byte of it can stop the program.
#[test]
fn a_damaged_file_is_named() {
    let (lab, name, whole) = Lab::with_one_file("r");
    let path = lab.root().join(&name);
    for bytes in [&whole[..whole.len() / 2], &whole[..5], b"PAR1 is not enough PAR1", b""] {
        fs::write(&path, bytes).expect("damaged");
        let answer = lab.rtt(&["table"]);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.err.contains("run r: ") && answer.err.contains(&name), "{answer:?}");
        assert!(answer.err.contains("remove it and append its logs again"), "{answer:?}");
    }
    // A byte flipped anywhere: an answer or an error that names the file, never a crash.
    let files = rtt_history::list_history(lab.root()).expect("a list");
    for at in (0..whole.len()).step_by(whole.len() / 1_000 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, bytes).expect("damaged");
        if let Err(error) = rtt_history::read_columns(&files[0], &["verdict", "histogram", "samples"]) {
            assert!(error.to_string().starts_with("run r: "), "byte {at}: {error}");
        }
    }
    fs::remove_file(&path).expect("removed");
    assert_eq!(lab.rtt(&["export"]).code, 0, "what the message says helps");
    assert_eq!(lab.files()[&name], whole);
}

#[test]
fn help_has_examples_and_wrong_words_have_answers() {
    let lab = Lab::new();
    for word in ["", "append", "trend", "compact", "retain", "bench", "export", "table", "compare"] {
        let words = [word, "--help"].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
        let answer = lab.rtt(&words);
        assert!(answer.code == 0 && answer.out.contains("Examples:\n  rtt-history "), "{words:?}: {answer:?}");
    }
    for (words, part) in [
        (&["table", "--by", "colour"][..], "no column `colour` to group by"),
        (&["table", "--columns", "p98"], "no measure `p98`"),
        (&["table", "--where", "faulted=perhaps"], "expected true or false"),
        (&["table", "--json", "--csv"], "cannot be used with"),
        (&["trends"], "unrecognized subcommand"),
        (&["trend", "--days", "0"], "invalid value"),
        (&["retain"], "--days <N>"),
        (&["bench", "--rows", "0"], "invalid value"),
    ] {
        let answer = lab.rtt(words);
        assert!(answer.code == 2 && answer.err.contains(part), "{words:?}: {answer:?}");
    }
    let columns = lab.rtt(&["columns"]).out;
    assert!(columns.contains("* scenario ") && columns.contains("trial_ns_p99_max"), "{columns}");
}
