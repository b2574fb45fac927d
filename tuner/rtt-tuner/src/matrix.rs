//! Symmetric positive definite matrices: Cholesky factor, solves, inverse. Dense and small, up to a few hundred rows.

/// Square matrix, row after row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    rows: usize,
    cells: Vec<f64>,
}

impl Matrix {
    /// `rows` by `rows` zeros.
    pub(crate) fn zero(rows: usize) -> Matrix {
        Matrix { rows, cells: vec![0.0; rows * rows] }
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.cells[row * self.rows..(row + 1) * self.rows]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.cells[row * self.rows..(row + 1) * self.rows]
    }
}

/// Lower triangle L with L Lᵀ = the matrix.
#[derive(Clone, Debug)]
pub(crate) struct Cholesky(Matrix);

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

impl Cholesky {
    /// `None` when `matrix` is not positive definite; only its lower triangle is read.
    pub(crate) fn of(matrix: &Matrix) -> Option<Cholesky> {
        let mut lower = Matrix::zero(matrix.rows);
        for row in 0..matrix.rows {
            for column in 0..=row {
                let rest = matrix.row(row)[column] - dot(&lower.row(row)[..column], &lower.row(column)[..column]);
                let value = if row > column {
                    rest / lower.row(column)[column]
                } else if rest > 0.0 {
                    rest.sqrt()
                } else {
                    return None;
                };
                lower.row_mut(row)[column] = value;
            }
        }
        Some(Cholesky(lower))
    }

    /// x with L x = `right`.
    pub(crate) fn forward(&self, right: &[f64]) -> Vec<f64> {
        let mut x = right.to_vec();
        for row in 0..x.len() {
            let line = self.0.row(row);
            x[row] = (x[row] - dot(&line[..row], &x[..row])) / line[row];
        }
        x
    }

    /// x with L Lᵀ x = `right`.
    pub(crate) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut x = self.forward(right);
        for row in (0..x.len()).rev() {
            let line = self.0.row(row);
            x[row] /= line[row];
            let value = x[row];
            for (cell, factor) in x[..row].iter_mut().zip(&line[..row]) {
                *cell -= factor * value;
            }
        }
        x
    }

    /// Logarithm of the determinant of L Lᵀ.
    pub(crate) fn log_determinant(&self) -> f64 {
        (0..self.0.rows).map(|row| 2.0 * self.0.row(row)[row].ln()).sum()
    }

    /// Inverse of L Lᵀ.
    pub(crate) fn inverse(&self) -> Matrix {
        let rows = self.0.rows;
        // Columns of L⁻¹ are kept as rows, so that every inner loop runs over neighbours in memory.
        let mut turned = Matrix::zero(rows);
        for column in 0..rows {
            turned.row_mut(column)[column] = 1.0 / self.0.row(column)[column];
            for row in column + 1..rows {
                let line = self.0.row(row);
                let sum = dot(&line[column..row], &turned.row(column)[column..row]);
                turned.row_mut(column)[row] = -sum / line[row];
            }
        }
        let mut inverse = Matrix::zero(rows);
        for row in 0..rows {
            for column in 0..=row {
                let value = dot(&turned.row(row)[row..], &turned.row(column)[row..]);
                inverse.row_mut(row)[column] = value;
                inverse.row_mut(column)[row] = value;
            }
        }
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_units::SplitMix64;

    fn positive(rows: usize, seed: u64) -> Matrix {
        let mut draw = SplitMix64::new(seed);
        let factor: Vec<Vec<f64>> = (0..rows).map(|_| (0..rows).map(|_| draw.normal()).collect()).collect();
        let mut matrix = Matrix::zero(rows);
        for i in 0..rows {
            for j in 0..rows {
                matrix.row_mut(i)[j] = dot(&factor[i], &factor[j]) + if i == j { 0.5 } else { 0.0 };
            }
        }
        matrix
    }

    #[test]
    fn solve_and_inverse_undo_the_matrix() {
        for rows in [1, 2, 7, 30] {
            let matrix = positive(rows, rows as u64);
            let factor = Cholesky::of(&matrix).expect("positive definite");
            let right: Vec<f64> = (0..rows).map(|i| i as f64 - 1.5).collect();
            let x = factor.solve(&right);
            let inverse = factor.inverse();
            for row in 0..rows {
                assert!((dot(matrix.row(row), &x) - right[row]).abs() < 1e-8);
                assert!((dot(inverse.row(row), &right) - x[row]).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn the_determinant_is_that_of_a_diagonal_and_no_definite_matrix_has_none() {
        let mut matrix = Matrix::zero(2);
        matrix.row_mut(0)[0] = 4.0;
        matrix.row_mut(1)[1] = 9.0;
        assert!((Cholesky::of(&matrix).expect("definite").log_determinant() - 36.0_f64.ln()).abs() < 1e-12);
        matrix.row_mut(1)[1] = -9.0;
        assert!(Cholesky::of(&matrix).is_none());
    }
}
