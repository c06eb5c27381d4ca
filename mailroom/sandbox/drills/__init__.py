"""Kill drills: workers die at every crash point and at random, and nothing is lost or sent twice."""
