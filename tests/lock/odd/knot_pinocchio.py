"""Libraries of a dozen wheels that fill one prefix (cmeel)."""

import numpy
import pinocchio

model = pinocchio.buildSampleModelManipulator()
data = model.createData()
pinocchio.forwardKinematics(model, data, pinocchio.neutral(model))
print(model.nq, model.njoints, numpy.round(data.oMi[-1].translation, 6).tolist())
