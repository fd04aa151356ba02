//! The figures as a bar chart: agreed and aggregated for each cell, and the limit that light sets.

use std::fmt::Write;

use super::{BenchReport, Cell};

/// Width of the drawing, in pixels.
const WIDTH: f64 = 860.0;
/// Where bars begin.
const LEFT: f64 = 260.0;
/// Height of a cell's row.
const ROW: f64 = 46.0;
/// Above the first row.
const TOP: f64 = 56.0;
/// Room for the figure to the right of the longest bar.
const RIGHT: f64 = 80.0;

/// The stages drawn, and their colours.
const BARS: [(&str, &str); 2] = [("agreed", "#7aa6c2"), ("aggregated", "#1f4e6e")];

/// Draws a report as a stand-alone SVG image.
pub fn chart(report: &BenchReport) -> String {
    let height = TOP + ROW * report.cells.len() as f64 + 20.0;
    let longest = report.cells.iter().flat_map(lengths).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / longest;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    text(
        &mut svg,
        16.0,
        24.0,
        "Signing latency of attestations: ms after the due point, median of the first node",
    );
    legend(&mut svg);
    for (number, cell) in report.cells.iter().enumerate() {
        row(&mut svg, TOP + ROW * number as f64, scale, cell);
    }
    svg.push_str("</svg>\n");
    svg
}

/// What a cell's row must have room for.
fn lengths(cell: &Cell) -> Vec<f64> {
    BARS.iter()
        .filter_map(|(stage, _)| median(cell, stage))
        .chain([cell.limit_ms])
        .collect()
}

fn median(cell: &Cell, stage: &str) -> Option<f64> {
    cell.latency_ms_by_stage
        .get(stage)
        .map(|latency| latency.first.p50)
}

fn legend(svg: &mut String) {
    let mut x = 16.0;
    for (stage, colour) in BARS {
        rect(svg, x, 34.0, 12.0, 12.0, colour);
        text(svg, x + 18.0, 45.0, stage);
        x += 110.0;
    }
    rect(svg, x + 5.0, 34.0, 2.0, 12.0, "#b03030");
    text(svg, x + 18.0, 45.0, "limit: four link delays");
}

fn row(svg: &mut String, y: f64, scale: f64, cell: &Cell) {
    let label = format!(
        "{} nodes, {} ms links, {} validators",
        cell.nodes, cell.latency_ms, cell.validators
    );
    text(svg, 16.0, y + 26.0, &label);
    for (number, (stage, colour)) in BARS.iter().enumerate() {
        if let Some(milliseconds) = median(cell, stage) {
            let top = y + 4.0 + 17.0 * number as f64;
            rect(svg, LEFT, top, milliseconds * scale, 14.0, colour);
            text(
                svg,
                LEFT + milliseconds * scale + 6.0,
                top + 12.0,
                &format!("{milliseconds:.1}"),
            );
        }
    }
    rect(
        svg,
        LEFT + cell.limit_ms * scale - 1.0,
        y,
        2.0,
        ROW - 8.0,
        "#b03030",
    );
}

fn rect(svg: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

/// All texts are our own and hold nothing that XML would need escaped.
fn text(svg: &mut String, x: f64, y: f64, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"#222222\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::super::tests::a_cell;
    use super::*;

    #[test]
    fn each_cell_has_its_bars_and_limit_inside_the_drawing() {
        let report = BenchReport {
            cells: vec![a_cell(4, 0.0, 8), a_cell(10, 75.0, 500)],
            left_out: 0,
        };
        let svg = chart(&report);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        // Background, legend of three, and three for each cell.
        assert_eq!(svg.matches("<rect").count(), 1 + 3 + 2 * 3);
        assert!(svg.contains("10 nodes, 75 ms links, 500 validators") && svg.contains(">320.0<"));
    }
}
