// The text of a transaction, as etcdctl takes it: comparisons, an empty line, what to do when all of them hold, an
// empty line, what to do otherwise. Each part may be empty, and the last ones may be left out.
//
//     version("user/1") = "0"
//
//     put user/1 "Ada Lovelace"
//     get --prefix user/
//
//     get user/1
//
// A comparison is TARGET("key") OP "operand" with the targets value, version, create, mod and lease and the operators
// =, !=, < and >. Words may be in double quotes, with \n, \r, \t, \", \\ and \xHH, or in single ones, as they are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/cli/failure.h"
#include "client/cli/output.h"
#include "kvstore/operation.h"

namespace loyal::cli {

class TxnScript {
 public:
    enum class Part : std::uint8_t { compares, then, otherwise, end };

    // How keys and values are written.
    explicit TxnScript(TextForm form) : form_(form) {}

    // The next line, without its end. What does not parse, or is one too many, is bad input that names `number`.
    [[nodiscard]] Answer<void> take(std::string_view line, std::uint64_t number);
    [[nodiscard]] Part part() const { return part_; }
    [[nodiscard]] kvstore::Txn& txn() { return txn_; }

 private:
    [[nodiscard]] Answer<void> add(std::string_view line);

    TextForm form_;
    Part part_ = Part::compares;
    kvstore::Txn txn_;
};

// Words of a line, with the quotes off.
[[nodiscard]] Answer<std::vector<std::string>> words_of_request(std::string_view line);
[[nodiscard]] Answer<kvstore::Compare> parse_compare(std::string_view line, TextForm form);
// put K V, get K, del K with their options.
[[nodiscard]] Answer<kvstore::TxnOperation> parse_request(std::string_view line, TextForm form);

}  // namespace loyal::cli
