//! Which cases there are, and how much time each may take.

use std::time::Duration;

use lumos_record::suite::Payloads;
use lumos_record::{
    ArtifactKind, ArtifactManifest, Case, Lane, Profile, Round, Runtime, Setting, StateBackend,
    Suite, Variant,
};
use lumos_workloads::{Chain, Payload, Workload, Workloads, sha256_hex};

use super::select::Selection;

/// A case with what it needs to run.
#[derive(Debug, Clone, Copy)]
pub struct Planned<'p> {
    /// The suite.
    pub suite: Suite,
    /// The function, or the chain's name and requests.
    pub workload: &'p Workload,
    /// The chain, in a suite of chains.
    pub chain: Option<&'p Chain>,
    /// The payload; for suites without one, that which checks the instance.
    pub payload: &'p Payload,
    /// The engine and the sandbox.
    pub runtime: &'p Runtime,
    /// What the worker is given, and finds.
    pub setting: Setting,
    /// Which row of the suites' tables it belongs to: all runtimes of a row are neighbours.
    pub row: usize,
}

impl Planned<'_> {
    /// The case.
    pub fn case(&self) -> Case {
        let runtime = self.runtime.name_in(self.suite.lane());
        let payload = match self.suite.takes_payload() {
            true => self.payload.id.clone(),
            false => Case::NO_PAYLOAD.to_owned(),
        };
        let (suite, setting) = (self.suite, self.setting);
        Case { suite, function: self.workload.function.clone(), runtime, payload, setting }
    }
}

/// The time that a profile gives to all cases together, in all rounds: below the limits that the
/// documents promise, since slow cases take longer than their share.
fn time_budget(profile: Profile) -> Duration {
    match profile {
        Profile::Quick => Duration::from_secs(100),
        Profile::Standard => Duration::from_secs(11 * 60),
        Profile::Full => Duration::MAX,
    }
}

/// The most that a profile gives to one case.
fn most_per_case(profile: Profile) -> Duration {
    match profile {
        Profile::Quick => Duration::from_millis(600),
        Profile::Standard => Duration::from_secs(4),
        Profile::Full => Duration::from_secs(8),
    }
}

/// Runtimes as they follow each other: in a round, in an order that is drawn for it, so that none
/// always runs when another has just left the processor as it likes.
fn in_order<'r>(runtimes: &'r [Runtime], selection: &Selection) -> Vec<&'r Runtime> {
    let mut runtimes: Vec<&Runtime> = runtimes.iter().collect();
    if let Some(round) = &selection.round {
        let drawn = |runtime: &&Runtime| {
            let text = format!("{} {} {}", selection.seed, round.number, runtime.name);
            sha256_hex(text.as_bytes())
        };
        runtimes.sort_by_cached_key(drawn);
    }
    runtimes
}

/// Below this, in all rounds, a case cannot be measured.
const LEAST_PER_CASE: Duration = Duration::from_millis(250);

/// All cases of a profile, over all runtimes, in the order in which they are measured: the
/// runtimes of one function and payload are neighbours, so that they see the same weather.
#[derive(Debug)]
pub struct Plan<'p> {
    /// The cases.
    pub cases: Vec<Planned<'p>>,
    /// The time that each may take in a round, its preparation left out: a part of what it has in
    /// as many rounds as are usual.
    pub time_per_case: Duration,
    /// One case in this many is measured; the others are skipped for want of time.
    pub stride: usize,
}

impl<'p> Plan<'p> {
    /// Plans the profile of a selection, under its settings.
    pub fn new(
        workloads: &'p Workloads,
        manifest: &'p ArtifactManifest,
        selection: &Selection,
    ) -> Self {
        let (profile, settings) = (selection.profile, selection.settings());
        let runtimes = in_order(&manifest.runtimes, selection);
        let mut cases = Vec::new();
        let mut row = 0;
        // What this process runs itself is of its own architecture.
        let runs = |suite: Suite| selection.emulator.is_none() || suite.lane() == Lane::Served;
        let suites = Suite::ALL.iter().copied();
        for suite in suites.filter(|&suite| selection.asks_for(suite) && runs(suite)) {
            for (workload, chain) in subjects(workloads, suite) {
                for payload in payloads(workload, suite, selection) {
                    let series = match chain {
                        Some(chain) => series_of_chain(suite, chain, &settings),
                        None => series(suite, workload, &settings),
                    };
                    for setting in series {
                        for &runtime in &runtimes {
                            if runtime.takes_part(suite, profile) && takes(runtime, suite, &setting)
                            {
                                cases.push(Planned {
                                    suite,
                                    workload,
                                    chain,
                                    payload,
                                    runtime,
                                    setting,
                                    row,
                                });
                            }
                        }
                        row += 1;
                    }
                }
            }
        }
        // What is measured on request comes on top of the profile's time.
        let count = cases.iter().filter(|planned| !planned.suite.spec().on_request).count();
        let share = time_budget(profile) / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let stride = match share < LEAST_PER_CASE {
            true => LEAST_PER_CASE.as_millis().div_ceil(share.as_millis().max(1)) as usize,
            false => 1,
        };
        let time_per_case = share.clamp(LEAST_PER_CASE, most_per_case(profile)) / Round::USUAL;
        Self { cases, time_per_case, stride }
    }

    /// Why a case is left out of the profile, if it is.
    ///
    /// Cases are left out by function and payload, never by runtime: what is measured at all
    /// is measured for every runtime.
    pub fn omission(&self, planned: &Planned<'_>) -> Option<String> {
        let kept = planned.suite.spec().on_request || planned.row.is_multiple_of(self.stride);
        (!kept).then(|| {
            format!(
                "the profile's time suffices for one row in {} only: `--profile full` measures all",
                self.stride
            )
        })
    }
}

/// What a suite measures: functions, or chains of them.
fn subjects(
    workloads: &Workloads,
    suite: Suite,
) -> Box<dyn Iterator<Item = (&Workload, Option<&Chain>)> + '_> {
    if suite.is_chain() {
        return Box::new(workloads.chains.iter().map(|chain| (&chain.workload, Some(chain))));
    }
    let concerned = move |workload: &&Workload| {
        // A command serves one request in its life.
        let can = !workload.is_command || suite.spec().runs_commands;
        can && suite.spec().functions.have(workload.keeps_state)
    };
    Box::new(workloads.benchmarked().filter(concerned).map(|workload| (workload, None)))
}

/// The settings that a chain is measured under: each of its lengths and, where a step keeps state,
/// each of its backends. No instance of the measuring process keeps any.
fn series_of_chain(suite: Suite, chain: &Chain, settings: &[Setting]) -> Vec<Setting> {
    let mut series = Vec::new();
    for setting in settings.iter().filter(|setting| setting.is_felt_in(suite)) {
        for steps in 1..=chain.steps.len() {
            let setting = Setting { steps: u8::try_from(steps).ok(), ..*setting };
            let states: &[StateBackend] = match (chain.keeps_state(steps), suite.lane()) {
                (false, _) => {
                    series.push(setting);
                    continue;
                }
                (true, Lane::Served) => StateBackend::ALL,
                (true, Lane::InProcess) => &[],
            };
            series.extend(states.iter().map(|&state| Setting { state: Some(state), ..setting }));
        }
    }
    series
}

/// The settings that a function is measured under in a suite: the suite `variants` has those that
/// tell how Wasm was built, and the default for what is no Wasm; and state can be in several places.
fn series(suite: Suite, workload: &Workload, settings: &[Setting]) -> Vec<Setting> {
    if suite.spec().compares_variants {
        let variants =
            Variant::ALL.map(|variant| Setting { variant: Some(variant), ..Setting::default() });
        return [Setting::default()].into_iter().chain(variants).collect();
    }
    let settings = settings.iter().copied().filter(|setting| setting.is_felt_in(suite));
    if !workload.keeps_state {
        return settings.collect();
    }
    let backends = StateBackend::ALL.iter().map(|&backend| Some(backend));
    settings
        .flat_map(|setting| backends.clone().map(move |state| Setting { state, ..setting }))
        .collect()
}

/// Whether a runtime can be measured under a setting of its suite: what is no Wasm is not built
/// in ways, and Wasm always in one of them where that is what is compared.
fn takes(runtime: &Runtime, suite: Suite, setting: &Setting) -> bool {
    !suite.spec().compares_variants
        || setting.variant.is_some() != (runtime.loads == Some(ArtifactKind::NativeLib))
}

/// The payloads of a function that a suite measures in the profile of a selection.
fn payloads<'w>(
    workload: &'w Workload,
    suite: Suite,
    selection: &Selection,
) -> impl Iterator<Item = &'w Payload> {
    let one = selection.first_payload || !suite.takes_payload();
    let count = if one { 1 } else { usize::MAX };
    let profile = selection.profile;
    let measures = move |payload: &&Payload| match suite.spec().payloads {
        Payloads::ForSweeps => payload.sweep,
        Payloads::None | Payloads::OfProfile => {
            payload.profile.is_some_and(|least| least <= profile)
        }
    };
    workload.payloads.iter().filter(measures).take(count)
}

#[cfg(test)]
mod tests {
    use lumos_record::Mode;

    use super::*;

    #[test]
    fn each_round_has_an_order_of_its_own() {
        let names = ["aot", "jit", "baseline", "interpreted"];
        let runtimes = names
            .map(|name| Runtime::plain(name, "crate", Mode::Aot, "1", ArtifactKind::Precompiled));
        let order = |round: Option<u32>| -> Vec<&str> {
            let round = round.map(|number| Round { series: "s".into(), number, of: 9 });
            let selection = Selection { round, seed: 7, ..Selection::default() };
            in_order(&runtimes, &selection).into_iter().map(|r| r.name.as_str()).collect()
        };
        assert_eq!(order(None), names);
        let orders: Vec<Vec<&str>> = (1..=9).map(|number| order(Some(number))).collect();
        assert_eq!(orders, (1..=9).map(|number| order(Some(number))).collect::<Vec<_>>());
        for name in names {
            assert!(orders.iter().any(|order| order[0] == name), "{name} is never the first");
        }
    }
}
