// Generations of the state in a data folder (docs/STORAGE.md): DATA/state.<g>/ is an LMDB environment each, DATA/state
// a line with the number of the one in force. A transfer or a repair builds the next one beside it; putting it in force
// is one atomic replacement of that file. What an interrupted transfer left is kept and gone on with.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "config/cluster.h"
#include "config/result.h"
#include "kvstore/checkpoints.h"
#include "kvstore/consensus_log.h"
#include "kvstore/state_machine.h"
#include "kvstore/store.h"
#include "replica/experiments/faulty_store.h"

namespace loyal::replica {

inline constexpr std::uint64_t first_generation = 1;

// A generation that is open. Without a machine the state in it cannot be executed or read, but may be of use to a
// transfer; without a store not even that.
struct OpenState {
    std::uint64_t generation = first_generation;
    std::unique_ptr<kvstore::Store> store;
    std::unique_ptr<kvstore::StateMachine> machine;
    std::unique_ptr<kvstore::Checkpoints> checkpoints;
};

// How states of this cluster are opened.
struct StateSetup {
    std::filesystem::path data;
    kvstore::StateMachineOptions machine;
    kvstore::CheckpointOptions checkpoints;
    std::shared_ptr<DiskFaults> faults;  // null unless the cluster allows experiments
    crypto::Digest genesis_state = {};   // root of the state at height 0; zero: empty
};
[[nodiscard]] StateSetup state_setup(const config::Cluster& cluster, const std::filesystem::path& data,
                                     std::shared_ptr<DiskFaults> faults);

[[nodiscard]] std::filesystem::path generation_path(const std::filesystem::path& data, std::uint64_t generation);
// Nothing: no such file. Errc::corrupted: it is not such a line.
[[nodiscard]] Result<std::optional<std::uint64_t>> generation_in_force(const std::filesystem::path& data);
// The highest of which there is a folder.
[[nodiscard]] std::optional<std::uint64_t> newest_generation(const std::filesystem::path& data);
// Durable when it returns.
[[nodiscard]] Result<void> put_in_force(const std::filesystem::path& data, std::uint64_t generation);
// The state of this generation must not be used any more, not even by a later process: it is another than the certified
// one, or damaged. Holds until a later one is in force. Durable when it returns.
[[nodiscard]] Result<void> mark_lost(const std::filesystem::path& data, std::uint64_t generation,
                                     const std::string& why);
// Why the state of the generation in force must not be used; nothing: it may.
[[nodiscard]] Result<std::optional<std::string>> lost_mark(const std::filesystem::path& data, std::uint64_t in_force);
void forget_lost_mark(const std::filesystem::path& data);
// All but the one in force and the next one.
void remove_other_generations(const std::filesystem::path& data, std::uint64_t in_force);
[[nodiscard]] Result<void> remove_generation(const std::filesystem::path& data, std::uint64_t generation);

[[nodiscard]] Result<std::unique_ptr<kvstore::Store>> open_generation(const StateSetup& setup,
                                                                      std::uint64_t generation);
// Machine and checkpoints of `state.store`. Errc::unavailable: it is under construction; corrupted: it is damaged.
[[nodiscard]] Result<void> open_machine(const StateSetup& setup, OpenState& state);
// Executes what the log holds above the machine's state again, one block at a time, at most `blocks_max`, and writes
// generations as it goes. Gives how many blocks there were.
[[nodiscard]] Result<std::uint64_t> execute_again(kvstore::StateMachine& machine, const kvstore::ConsensusLog& log,
                                                  std::uint64_t blocks_max = ~std::uint64_t{0});
// What a core begins with, for a machine that is whole (Recovered).
[[nodiscard]] Result<consensus::Recovered> recover_with(const OpenState& state, const kvstore::ConsensusLog& log);

// The same when the state is lost: the log alone.
[[nodiscard]] Result<consensus::Recovered> recover_without_state(const kvstore::ConsensusLog& log);

}  // namespace loyal::replica
