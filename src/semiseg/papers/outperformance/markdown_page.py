"""docs/claims.md: its head, and the model in words, with its formula and what it leaves out."""

from collections.abc import Sequence

from semiseg.papers.check.page import markdown
from semiseg.papers.check.section import Section
from semiseg.papers.outperformance.model import factors

HEAD = """# Printed claims: how probable is it that the order is due to chance?

A paper that prints its own method above all others claims that the method is better. This page gives for each such
pair of printed means the probability that the claim is false: that the second method is as good or better on the
whole population of scans, given what is printed. It says nothing about the methods beyond the printed numbers, and
nothing about right or wrong of a paper. `semiseg published claims --write docs/claims.md` writes the page; a test
fails when it is out of date. [published-numbers.md](published-numbers.md) checks the same numbers with arithmetic.
"""
MODEL = """
## The model

The model follows Christodoulou et al., *False Promises in Medical Imaging AI? Assessing Validity of Outperformance
Claims* (arXiv 2505.04720), for segmentation. Both methods are scored on the same n test cases. The means are m1
(ours) and m2 (the second), the standard deviations over cases s1 and s2, and r is the correlation of both methods'
values over the cases. Without prior knowledge of the difference of the true means, its distribution given the data is
Student's t, and the probability that the difference is zero or negative is

    P(false) = t_(n-1)( -sqrt(n) (m1 - m2) / sqrt(s1^2 + s2^2 - 2 r s1 s2) )

where t_(n-1) is the distribution function of Student's t with n - 1 degrees of freedom; of distances, the difference
is turned round. It is the one-sided p of a paired t test, and at most 0.5, because ours is the one with the better
mean.

- **n** is the number of test cases that the paper's text describes (`src/semiseg/papers/check/counts.csv`): 14 for
  FLARE22 and 60 for AMOS in GuidedNet and DVCL, 6 and 4 for their BTCV and MMWHS (6:2:2), 6 and 120 for BTCV and AMOS
  in SKCDF and PLBOpt, 20, 20 and 60 for LA, Pancreas-CT and BraTS19 in CRLN. If the three runs of SKCDF or PLBOpt on
  BTCV had other test cases each, n would be up to 18 and the probabilities smaller.
- **s**: a spread of bootstrap means (CRLN) is that of single cases divided by sqrt(n), so s is the printed spread
  times sqrt(n). Population deviations become sample deviations by sqrt(n / (n - 1)). A spread over runs (all other
  papers) says nothing of the spread over cases, and some rows print none. There s is approximated: for Dice and
  Jaccard with mean m (percent) by FACTOR_PERCENT sqrt(m (100 - m)), which is 0 for a method that always fails or
  never does; for distances by FACTOR_DISTANCE m. The factors are ours: the medians over all rows in print whose
  spread is over cases. The approximation of the paper cited above, a polynomial of the mean, is not used, since its
  coefficients could not be verified.
- **r** is rarely known. Where this project has built a table of real scans with both methods, r is measured there,
  over its test cases and under the paper's scoring rule, and the line names the table; it may be a table of another
  dataset. Otherwise two probabilities frame it: r = 0.5 and r = 0.9. The smaller r is, the larger is the probability.
- **Runs**: where both rows print a spread over k trainings, the same formula gives the probability that the order
  turns round in other trainings on the same cases, with n = k and r = 0. It is about another question, so it stands
  in a column of its own.

What the model leaves out: several claims of one paper are looked at one by one; the second best of many is not a
method that was chosen beforehand; checkpoints chosen on the test cases, and hyperparameters tuned for one method
only, make a mean too good without showing in any spread.
"""


def claims_markdown(found: Sequence[Section]) -> str:
    """The page of these sections: the summary, which comes first, then the model, then all others.

    The model names the factors by which deviations are approximated.
    """
    known = factors()
    model = MODEL.replace("FACTOR_PERCENT", f"{known['percent']:.3f}")
    return markdown(found[:1], HEAD) + markdown(found[1:], model.replace("FACTOR_DISTANCE", f"{known['distance']:.3f}"))
