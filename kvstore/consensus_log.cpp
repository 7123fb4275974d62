#include "kvstore/consensus_log.h"

#include "kvstore/durable_log.h"

namespace loyal::kvstore {

Result<std::unique_ptr<ConsensusLog>> ConsensusLog::open(Store& log, const consensus::ClusterContext& context,
                                                         const LogOptions& options) {
    auto opened = std::make_unique<DurableLog>(log, context, options);
    if (auto loaded = opened->load(); !loaded) {
        return tl::unexpected(loaded.error());
    }
    return std::unique_ptr<ConsensusLog>(std::move(opened));
}

std::vector<std::string> ConsensusLog::log_tables() {
    return {std::string(records_table_name), std::string(vote_a_table_name), std::string(vote_b_table_name)};
}

}  // namespace loyal::kvstore
