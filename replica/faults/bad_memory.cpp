// A correct replica whose memory lied once: one bit of what it computed of one block is another. Nobody decided to lie;
// the replica must find out by itself, from the first certified header that names the digest of that block (S1), stop
// serving, and get its state from the others. The bit flips in the first block that is executed after the fault began.
#include "replica/faults/behaviours.h"

namespace loyal::replica::faults {
namespace {

class BadMemory final : public FaultModel {
 public:
    [[nodiscard]] std::string name() const override { return "bad-memory"; }
    void executed(kvstore::ExecutedBlock& block) override {
        if (!flipped_) {
            block.digest.bytes[0] ^= 1U;
            flipped_ = true;
        }
    }

 private:
    bool flipped_ = false;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_bad_memory(const FaultContext&, const std::string&) {
    return std::make_unique<BadMemory>();
}

}  // namespace loyal::replica::faults
