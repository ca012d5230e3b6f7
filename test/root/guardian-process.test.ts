/** The tests of the guardian once more, with the cgroups that only root may make. */
import '../guardian/guardian.test.js'
