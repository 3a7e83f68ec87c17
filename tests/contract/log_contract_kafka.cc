// A real broker.
#include "contract/log_contract.h"

namespace laneway::log {

INSTANTIATE_TEST_SUITE_P(All, LogContract, testing::Values(KafkaMaker()),
                         [](const testing::TestParamInfo<LogMaker>& made) { return made.param.name; });

}  // namespace laneway::log
