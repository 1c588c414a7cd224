"""The linear SVM on C3D's features: its vector by hand."""

import numpy as np

from stp.methods import c3d_svm
from stp.methods.c3d_svm import C3DSvmOptions


def test_a_videos_vector_is_the_mean_of_its_clips_with_length_1() -> None:
    features = np.array([[2, 0, 3], [4, 0, 5]], np.float32)
    np.testing.assert_allclose(c3d_svm.vector(C3DSvmOptions(), features), [0.6, 0, 0.8], rtol=1e-6)
    assert c3d_svm.vector(C3DSvmOptions(), np.zeros((3, 2), np.float32)).tolist() == [0, 0]


def test_its_classifier_has_one_linear_svm_a_class() -> None:
    vectors = np.eye(6)[:, :4]
    fitted = c3d_svm.classifier(C3DSvmOptions(C=2.0), 0).fit(vectors, [0, 1, 2, 0, 1, 2])
    assert fitted.named_steps["svm"].C == 2
    assert fitted.decision_function(vectors).shape == (6, 3)
