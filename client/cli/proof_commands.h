// --proof FILE and --proof-state FILE: what an operation is proven with afterwards, to who was not there
// (docs/RECEIPTS.md). put, cas, del and get call these; `verify` is in verify_command.cpp.
#pragma once

#include <string>

#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/client.h"
#include "kvstore/operation.h"

namespace loyal::cli {

// Adds --proof to a command that orders one operation.
void add_proof_option(CLI::App* command, std::string& file);
// Before anything is sent: a proof goes into a new file. Nothing to say against an empty `file`: none is wanted.
[[nodiscard]] Answer<void> check_proof_file(const std::string& file);
// Collects the receipt of an operation that was ordered, whatever its outcome, and writes it. Its failure never says
// that the operation was not applied.
[[nodiscard]] Answer<void> save_receipt(const Globals& globals, const Connection& connection,
                                        const kvstore::Operation& operation, const client::WriteResult& result,
                                        const std::string& file);

struct ProofFiles {
    std::string receipt;  // --proof
    std::string state;    // --proof-state
    [[nodiscard]] bool wanted() const { return !receipt.empty() || !state.empty(); }
};
void add_get_proof_options(CLI::App* command, ProofFiles& files);
// get K --proof F: an ordered read, so that its result is in a block. get K --proof-state F: the newest stable
// checkpoint.
[[nodiscard]] Answer<Exit> get_with_proof(const Globals& globals, const Bytes& key, TextForm form,
                                          const ProofFiles& files);

void add_verify_command(CLI::App& app, CommandContext& context);

}  // namespace loyal::cli
