//! Logistic regression with an L2 penalty, by Newton's method.

/// The strength of the penalty on weights (not on the intercept).
const PENALTY: f64 = 1.0;
/// Newton's method converges in far fewer steps.
const STEPS: usize = 25;

/// Intercept and weights that fit `rows` of features to their outcomes; all rows are of one width.
///
/// A weight that comes out negative is set to 0 and the others are fitted anew: evidence for a moment is never
/// evidence against it.
pub(super) fn fit(rows: &[(Vec<f64>, bool)]) -> (f64, Vec<f64>) {
    let width = rows.first().map_or(0, |(x, _)| x.len());
    let mut used: Vec<usize> = (0..width).filter(|j| rows.iter().any(|(x, _)| x[*j] != 0.0)).collect();
    loop {
        let fitted = newton(rows, &used);
        match fitted[1..].iter().position(|w| *w < 0.0) {
            Some(j) => {
                used.remove(j);
            }
            None => {
                let mut weights = vec![0.0; width];
                for (j, w) in used.iter().zip(&fitted[1..]) {
                    weights[*j] = *w;
                }
                return (fitted[0], weights);
            }
        }
    }
}

fn newton(rows: &[(Vec<f64>, bool)], used: &[usize]) -> Vec<f64> {
    let m = used.len() + 1;
    let mut weights = vec![0.0; m];
    for _ in 0..STEPS {
        let mut gradient = vec![0.0; m];
        let mut hessian = vec![vec![0.0; m]; m];
        let mut x = vec![1.0; m];
        for (row, outcome) in rows {
            for (x, j) in x[1..].iter_mut().zip(used) {
                *x = row[*j];
            }
            let logit: f64 = x.iter().zip(&weights).map(|(x, w)| x * w).sum();
            let p = 1.0 / (1.0 + (-logit).exp());
            let (error, spread) = (f64::from(u8::from(*outcome)) - p, p * (1.0 - p));
            for a in 0..m {
                gradient[a] += error * x[a];
                for b in 0..m {
                    hessian[a][b] += spread * x[a] * x[b];
                }
            }
        }
        hessian[0][0] += 1e-9;
        for a in 1..m {
            gradient[a] -= PENALTY * weights[a];
            hessian[a][a] += PENALTY;
        }
        let step = solve(hessian, gradient);
        weights.iter_mut().zip(&step).for_each(|(w, s)| *w += s.clamp(-4.0, 4.0));
        if step.iter().all(|s| s.abs() < 1e-9) {
            break;
        }
    }
    weights
}

/// Gauss–Jordan elimination; the matrix is positive definite, so no pivoting is needed.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = a[i][i];
        a[i].iter_mut().for_each(|x| *x /= pivot);
        b[i] /= pivot;
        let (row, value) = (a[i].clone(), b[i]);
        for k in (0..n).filter(|k| *k != i) {
            let factor = a[k][i];
            a[k].iter_mut().zip(&row).for_each(|(x, r)| *x -= factor * r);
            b[k] -= factor * value;
        }
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::cases::Rng;

    #[test]
    fn it_finds_the_weights_that_made_the_data_and_no_negative_ones() {
        let mut rng = Rng::new(11);
        let rows: Vec<_> = (0..20_000)
            .map(|_| {
                let x = vec![3.0 * rng.unit(), 2.0 * rng.unit(), rng.unit(), 0.0];
                let logit = -2.0 + 1.5 * x[0] + 0.5 * x[1] - 1.0 * x[2];
                let outcome = rng.unit() < 1.0 / (1.0 + f64::exp(-logit));
                (x, outcome)
            })
            .collect();
        let (bias, weights) = fit(&rows);
        assert!((bias + 2.4).abs() < 0.2, "{bias}");
        assert!((weights[0] - 1.5).abs() < 0.1 && (weights[1] - 0.5).abs() < 0.1, "{weights:?}");
        assert_eq!(weights[2..], [0.0, 0.0]);
    }
}
