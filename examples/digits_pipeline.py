"""How many numbers does a handwritten digit need? A scikit-learn pipeline asks: codes first, then a classifier."""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from varinf.estimators import VariationalAutoencoder


def main():
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, stratify=y, random_state=0)
    pipeline = Pipeline(
        [
            (
                "codes",
                VariationalAutoencoder(
                    likelihood="bernoulli", binarize="dynamic", scale=16, max_iter=40, random_state=0
                ),
            ),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(max_iter=1000)),
        ]
    )
    search = GridSearchCV(pipeline, {"codes__n_components": [2, 4, 8]}, cv=2)
    search.fit(x_train, y_train)

    results = search.cv_results_
    for size, score in zip(results["param_codes__n_components"], results["mean_test_score"], strict=True):
        print(f"{size} numbers in a code: {score:.1%} of digits told right")
    best = search.best_estimator_
    print(f"the best on digits held out: {best.score(x_test, y_test):.1%}")
    print(f"ln p(x) of digits held out: {best['codes'].score(x_test):.2f} nats")


if __name__ == "__main__":
    main()
