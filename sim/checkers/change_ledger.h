// ChangeLedger: every change that was committed, in order, each compared with the model; what watches must be told.
#pragma once

#include <optional>
#include <vector>

#include "kvstore/state_machine.h"
#include "sim/checkers/reference_model.h"
#include "sim/checkers/signing_ledger.h"

namespace loyal::sim {

class ChangeLedger {
 public:
    // Of a block that nobody executed before; `model` has executed it too.
    [[nodiscard]] Finding committed(const kvstore::ExecutedBlock& block, const ReferenceModel& model);

    [[nodiscard]] const std::vector<kvstore::Change>& changes() const { return changes_; }
    [[nodiscard]] kvstore::Revision revision() const { return revision_; }

 private:
    [[nodiscard]] static Finding compare(const kvstore::Change& change, const ReferenceModel& model);

    std::vector<kvstore::Change> changes_;
    kvstore::Revision revision_;
};

}  // namespace loyal::sim
