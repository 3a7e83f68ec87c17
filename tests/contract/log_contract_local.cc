// The logs of one process, and librdkafka's mock of a cluster.
#include "contract/log_contract.h"

namespace laneway::log {

const auto kMakerName = [](const testing::TestParamInfo<LogMaker>& made) { return made.param.name; };

INSTANTIATE_TEST_SUITE_P(All, LogContract,
                         testing::Values(EmbeddedMaker(), SimMaker(), RemoteSimMaker(), FaultySimMaker(),
                                         MockKafkaMaker()),
                         kMakerName);
INSTANTIATE_TEST_SUITE_P(All, StoreContract, testing::Values(EmbeddedMaker(), SimMaker(), FaultySimMaker()),
                         kMakerName);

}  // namespace laneway::log
