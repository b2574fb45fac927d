//! Local descent on a smooth value of few parameters, as a solver of argmin.
//!
//! Resilient propagation with backtracking: each parameter has its own step, which grows while its slope keeps its
//! sign and shrinks when it turns. It needs signs only, so it does not mind that lengths and noise differ by orders
//! of magnitude in how steep they are. Source: Igel and Hüsken 2003, doi:10.1016/S0925-2312(01)00700-7 (iRprop+).

use argmin::core::{Error, Executor, IterState, KV, Problem, Solver, State, TerminationReason, TerminationStatus};

const GROW: f64 = 1.3;
const SHRINK: f64 = 0.5;
const STEP: (f64, f64, f64) = (1e-4, 0.15, 1.0); // least, first, greatest

/// A value to be made small.
pub(crate) trait Slope {
    /// The value and its slope; `None` where there is none.
    fn value_and_slope(&self, at: &[f64]) -> Option<(f64, Vec<f64>)>;
    /// Least and greatest of each parameter.
    fn bounds(&self) -> (f64, f64);
}

impl<T: Slope> Slope for &T {
    fn value_and_slope(&self, at: &[f64]) -> Option<(f64, Vec<f64>)> {
        (**self).value_and_slope(at)
    }

    fn bounds(&self) -> (f64, f64) {
        (**self).bounds()
    }
}

type Position = IterState<Vec<f64>, Vec<f64>, (), (), (), f64>;

struct Descent {
    steps: Vec<f64>,
    moves: Vec<f64>,
    slope: Vec<f64>,
    value: f64,
}

impl<O: Slope> Solver<O, Position> for Descent {
    fn name(&self) -> &str {
        "resilient propagation"
    }

    fn next_iter(&mut self, problem: &mut Problem<O>, mut state: Position) -> Result<(Position, Option<KV>), Error> {
        let mut at = state.take_param().expect("the executor was given a start");
        let found = problem.problem("value_and_slope", |slope| Ok((slope.value_and_slope(&at), slope.bounds())))?;
        let (Some((value, slope)), (low, high)) = found else {
            return Ok((state.param(at).terminate_with(TerminationReason::SolverConverged), None));
        };
        let seen = at.clone();
        let rose = value > self.value;
        for (index, step) in self.steps.iter_mut().enumerate() {
            let turn = slope[index] * self.slope[index];
            self.slope[index] = slope[index];
            if turn < 0.0 {
                *step = (*step * SHRINK).max(STEP.0);
                self.slope[index] = 0.0; // The next step neither grows nor shrinks.
                let back = if rose { self.moves[index] } else { 0.0 };
                at[index] -= back;
                self.moves[index] = 0.0;
                continue;
            }
            if turn > 0.0 {
                *step = (*step * GROW).min(STEP.2);
            }
            let moved = (at[index] - slope[index].signum() * *step).clamp(low, high);
            self.moves[index] = moved - at[index];
            at[index] = moved;
        }
        self.value = value;
        // The best position is that of the value, not the one to be looked at next.
        let mut state = state.param(seen).cost(value);
        state.update();
        Ok((state.param(at), None))
    }

    fn terminate(&mut self, _: &Position) -> TerminationStatus {
        if self.steps.iter().all(|&step| step < 4e-3) {
            return TerminationStatus::Terminated(TerminationReason::SolverConverged);
        }
        TerminationStatus::NotTerminated
    }
}

/// The best parameters found from `start` within `steps` looks.
pub(crate) fn climb(value: &impl Slope, start: Vec<f64>, steps: u64) -> Vec<f64> {
    let count = start.len();
    let solver =
        Descent { steps: vec![STEP.1; count], moves: vec![0.0; count], slope: vec![0.0; count], value: f64::INFINITY };
    let result = Executor::new(value, solver)
        .configure(|state: Position| state.param(start.clone()).max_iters(steps))
        .ctrlc(false)
        .timer(false)
        .run();
    result.ok().and_then(|result| result.state.best_param).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Valley;

    impl Slope for Valley {
        fn value_and_slope(&self, at: &[f64]) -> Option<(f64, Vec<f64>)> {
            let (x, y) = (at[0] - 1.0, at[1] + 2.0);
            Some((x * x + 500.0 * y * y, vec![2.0 * x, 1000.0 * y]))
        }

        fn bounds(&self) -> (f64, f64) {
            (-5.0, 5.0)
        }
    }

    #[test]
    fn the_bottom_of_a_steep_valley_is_found() {
        let found = climb(&Valley, vec![4.0, 4.0], 150);
        assert!((found[0] - 1.0).abs() < 0.02 && (found[1] + 2.0).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn no_step_is_no_move() {
        assert_eq!(climb(&Valley, vec![4.0, 4.0], 0), vec![4.0, 4.0]);
    }
}
