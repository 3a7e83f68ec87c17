// The logs of one process, and librdkafka's mock of a cluster.
#include "contract/log_contract.h"

namespace laneway::log {

const auto kMakerName = [](const testing::TestParamInfo<LogMaker>& made) { return made.param.name; };

namespace {

std::vector<LogMaker> Makers() {
  std::vector<LogMaker> makers = {EmbeddedMaker(), SimMaker(), FaultySimMaker()};
#if !defined(__SANITIZE_THREAD__)  // TSan does not know the C11 threads that librdkafka makes
  makers.push_back(MockKafkaMaker());
#endif
  return makers;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(All, LogContract, testing::ValuesIn(Makers()), kMakerName);
INSTANTIATE_TEST_SUITE_P(All, StoreContract, testing::Values(EmbeddedMaker(), SimMaker(), FaultySimMaker()),
                         kMakerName);

}  // namespace laneway::log
