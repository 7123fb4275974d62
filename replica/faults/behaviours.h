// One maker a behaviour; registry.cpp lists them by name. Private to replica/faults.
#pragma once

#include <memory>
#include <string>

#include "replica/faults/fault_model.h"

namespace loyal::replica::faults {

// `argument` is what stood after '='. Errc::invalid_argument says what is wrong with it.
using Maker = Result<std::unique_ptr<FaultModel>> (*)(const FaultContext& context, const std::string& argument);

// The form of an argument, without a cluster.
using ArgumentCheck = Result<void> (*)(const std::string& argument);

[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_silent(const FaultContext& context, const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_mute_to(const FaultContext& context,
                                                               const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_equivocate(const FaultContext& context,
                                                                  const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_double_vote(const FaultContext& context,
                                                                   const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_lie_to_clients(const FaultContext& context,
                                                                      const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_stale_reads(const FaultContext& context,
                                                                   const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_forge(const FaultContext& context, const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_replay(const FaultContext& context, const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_slow_primary(const FaultContext& context,
                                                                    const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_censor(const FaultContext& context, const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_reorder(const FaultContext& context,
                                                               const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_bad_view_change(const FaultContext& context,
                                                                       const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_view_change_spam(const FaultContext& context,
                                                                        const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_bad_checkpoint(const FaultContext& context,
                                                                      const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_bad_state_transfer(const FaultContext& context,
                                                                          const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_clock_lie(const FaultContext& context,
                                                                 const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_flood(const FaultContext& context, const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_corrupt_bits(const FaultContext& context,
                                                                    const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_amnesia(const FaultContext& context,
                                                               const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_collude(const FaultContext& context,
                                                               const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_wrong_execution(const FaultContext& context,
                                                                       const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_bad_memory(const FaultContext& context,
                                                                  const std::string& argument);

// Of a behaviour that registry.cpp lists.
[[nodiscard]] Result<void> check_argument(const std::string& behaviour, const std::string& argument);

}  // namespace loyal::replica::faults
