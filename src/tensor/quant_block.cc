#include "tensor/quant_block.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace forerun {
namespace {

// Where a stored block keeps its parts, in bytes. Numbers are spread over two planes of bits. A
// plane is cut into runs of bytes; a run's bytes hold, bits upwards, a field of weight i, of weight
// i + run, of i + 2·run and so on.
struct StoredPlace {
  DType dtype;
  int scale_at;
  int min_at;
  int low_at;
  int low_run;
  int high_at = 0;
  int high_run = 0;
};

constexpr StoredPlace kPlaces[] = {
    {DType::kQ8_0, 0, 0, 2, 32},           {DType::kQ4_0, 0, 0, 2, 16},
    {DType::kQ4_1, 0, 2, 4, 16},           {DType::kQ5_0, 0, 0, 6, 16, 2, 1},
    {DType::kQ5_1, 0, 2, 8, 16, 4, 1},     {DType::kQ2_K, 80, 82, 16, 32},
    {DType::kQ3_K, 108, 0, 32, 32, 0, 32}, {DType::kQ4_K, 0, 2, 16, 32},
    {DType::kQ5_K, 0, 2, 48, 32, 16, 32},  {DType::kQ6_K, 208, 0, 0, 64, 128, 32},
    {DType::kIQ4_NL, 0, 0, 2, 16},         {DType::kIQ4_XS, 0, 0, 8, 16},
};

constexpr StoredPlace place_of(DType dtype) {
  for (const StoredPlace& place : kPlaces) {
    if (place.dtype == dtype) return place;
  }
  return {};
}

// Eight bytes at a time: loading a model spends its time here.
constexpr uint64_t kEveryByte = 0x0101010101010101u;

uint64_t load_eight(const uint8_t* p) {
  uint64_t eight;
  std::memcpy(&eight, p, sizeof(eight));
  return eight;
}

// Bit i of a byte as byte i.
uint64_t spread_bits(uint8_t byte) {
  const uint64_t bits = byte * kEveryByte & 0x8040201008040201u;
  return (bits + 0x7f * kEveryByte) >> 7 & kEveryByte;
}

// Puts one plane's fields into the numbers, kTo bits up: over what was there, or beside it.
template <int kBits, int kRun, int kTo, int kInputs>
void add_plane(const uint8_t* plane, uint8_t* numbers) {
  const auto put = [&](int at, uint64_t fields) {
    fields <<= kTo;
    if constexpr (kTo > 0) fields |= load_eight(numbers + at);
    std::memcpy(numbers + at, &fields, sizeof(fields));
  };
  if constexpr (kRun == 1) {
    static_assert(kBits == 1);
    for (int i = 0; i < kInputs; i += 8) put(i, spread_bits(plane[i / 8]));
  } else {
    constexpr uint64_t kMask = ((1u << kBits) - 1) * kEveryByte;
    constexpr int kFields = 8 / kBits;
    for (int begin = 0; begin < kInputs; begin += kRun * kFields, plane += kRun) {
      for (int i = 0; i < kRun; i += 8) {
        const uint64_t bytes = load_eight(plane + i);
        for (int field = 0; field < kFields; ++field) {
          put(begin + field * kRun + i, bytes >> (field * kBits) & kMask);
        }
      }
    }
  }
}

// The way back.
template <int kBits, int kRun, int kFrom, int kInputs>
void store_plane(const uint8_t* numbers, uint8_t* plane) {
  constexpr int kFields = 8 / kBits;
  constexpr int kMask = (1 << kBits) - 1;
  for (int begin = 0; begin < kInputs; begin += kRun * kFields, plane += kRun) {
    for (int i = 0; i < kRun; ++i) {
      int byte = 0;
      for (int field = 0; field < kFields; ++field) {
        byte |= (numbers[begin + field * kRun + i] >> kFrom & kMask) << (field * kBits);
      }
      plane[i] = static_cast<uint8_t>(byte);
    }
  }
}

// Q4_K and Q5_K: eight scales and eight mins of six bits in twelve bytes. The first four of each
// are whole bytes' low bits; the others' four low bits are nibbles, their two high bits the
// former's unused ones.
void six_bit_pairs(const uint8_t* packed, QuantBlock& out) {
  for (int i = 0; i < 4; ++i) {
    const int scale = packed[i];
    const int min = packed[4 + i];
    const int nibbles = packed[8 + i];
    out.sub_scales[i] = static_cast<int8_t>(scale & 63);
    out.sub_mins[i] = static_cast<int8_t>(min & 63);
    out.sub_scales[4 + i] = static_cast<int8_t>((nibbles & 15) | (scale >> 6) << 4);
    out.sub_mins[4 + i] = static_cast<int8_t>((nibbles >> 4) | (min >> 6) << 4);
  }
}

template <DType dtype>
void sub_scales(const uint8_t* block, QuantBlock& out) {
  if constexpr (dtype == DType::kQ2_K) {
    for (int i = 0; i < 16; ++i) {
      out.sub_scales[i] = static_cast<int8_t>(block[i] & 15);
      out.sub_mins[i] = static_cast<int8_t>(block[i] >> 4);
    }
  } else if constexpr (dtype == DType::kQ3_K) {
    const uint8_t* packed = block + 96;
    for (int i = 0; i < 16; ++i) {
      const int low = packed[i % 8] >> (i / 8 * 4) & 15;
      const int high = packed[8 + i % 4] >> (i / 4 * 2) & 3;
      out.sub_scales[i] = static_cast<int8_t>((low | high << 4) - 32);
    }
  } else if constexpr (dtype == DType::kQ4_K || dtype == DType::kQ5_K) {
    six_bit_pairs(block + 4, out);
  } else if constexpr (dtype == DType::kQ6_K) {
    std::memcpy(out.sub_scales, block + 192, 16);
  } else if constexpr (dtype == DType::kIQ4_XS) {
    for (int i = 0; i < 8; ++i) {
      const int low = block[4 + i / 2] >> (i % 2 * 4) & 15;
      const int high = block[2 + i / 4] >> (i % 4 * 2) & 3;
      out.sub_scales[i] = static_cast<int8_t>((low | high << 4) - 32);
    }
  }
}

void store_six_bit_pairs(const QuantBlock& block, uint8_t* packed) {
  for (int i = 0; i < 4; ++i) {
    const auto later_scale = static_cast<uint8_t>(block.sub_scales[4 + i]);
    const auto later_min = static_cast<uint8_t>(block.sub_mins[4 + i]);
    packed[i] = static_cast<uint8_t>(block.sub_scales[i] | (later_scale >> 4) << 6);
    packed[4 + i] = static_cast<uint8_t>(block.sub_mins[i] | (later_min >> 4) << 6);
    packed[8 + i] = static_cast<uint8_t>((later_scale & 15) | (later_min & 15) << 4);
  }
}

template <DType dtype>
void store_sub_scales(const QuantBlock& block, uint8_t* out) {
  const auto add = [&](int at, int bits) { out[at] = static_cast<uint8_t>(out[at] | bits); };
  if constexpr (dtype == DType::kQ2_K) {
    for (int i = 0; i < 16; ++i) add(i, block.sub_scales[i] | block.sub_mins[i] << 4);
  } else if constexpr (dtype == DType::kQ3_K) {
    for (int i = 0; i < 16; ++i) {
      const int scale = block.sub_scales[i] + 32;
      add(96 + i % 8, (scale & 15) << (i / 8 * 4));
      add(104 + i % 4, (scale >> 4) << (i / 4 * 2));
    }
  } else if constexpr (dtype == DType::kQ4_K || dtype == DType::kQ5_K) {
    store_six_bit_pairs(block, out + 4);
  } else if constexpr (dtype == DType::kQ6_K) {
    std::memcpy(out + 192, block.sub_scales, 16);
  } else if constexpr (dtype == DType::kIQ4_XS) {
    for (int i = 0; i < 8; ++i) {
      const int scale = block.sub_scales[i] + 32;
      add(4 + i / 2, (scale & 15) << (i % 2 * 4));
      add(2 + i / 4, (scale >> 4) << (i % 4 * 2));
    }
  }
}

template <DType dtype>
void encode(const QuantBlock& block, uint8_t* out) {
  constexpr QuantTraits kType = *find_quant_traits(dtype);
  constexpr StoredPlace kPlace = place_of(dtype);
  std::memset(out, 0, static_cast<size_t>(traits(dtype).block_bytes));
  std::memcpy(out + kPlace.scale_at, &block.scale, sizeof(block.scale));
  if constexpr (kType.has_min) {
    const uint16_t min = block.min ^ (kType.has_sub_scales() ? 0x8000 : 0);
    std::memcpy(out + kPlace.min_at, &min, sizeof(min));
  }
  uint8_t numbers[256] = {};
  for (int i = 0; i < kType.block_inputs; ++i) {
    numbers[i] = block.numbers[i] ^ (dtype == DType::kQ8_0 ? 0x80 : 0);
  }
  store_plane<kType.low_bits, kPlace.low_run, 0, kType.block_inputs>(numbers, out + kPlace.low_at);
  if constexpr (kType.high_bits > 0) {
    store_plane<kType.high_bits, kPlace.high_run, kType.low_bits, kType.block_inputs>(
        numbers, out + kPlace.high_at);
  }
  store_sub_scales<dtype>(block, out);
}

template <DType dtype>
void decode(const uint8_t* block, QuantBlock& out) {
  constexpr QuantTraits kType = *find_quant_traits(dtype);
  constexpr StoredPlace kPlace = place_of(dtype);
  std::memcpy(&out.scale, block + kPlace.scale_at, sizeof(out.scale));
  if constexpr (kType.has_min) {
    std::memcpy(&out.min, block + kPlace.min_at, sizeof(out.min));
    if constexpr (kType.has_sub_scales()) out.min ^= 0x8000;
  }
  add_plane<kType.low_bits, kPlace.low_run, 0, kType.block_inputs>(block + kPlace.low_at,
                                                                   out.numbers);
  if constexpr (kType.high_bits > 0) {
    add_plane<kType.high_bits, kPlace.high_run, kType.low_bits, kType.block_inputs>(
        block + kPlace.high_at, out.numbers);
  }
  if constexpr (dtype == DType::kQ8_0) {
    for (int i = 0; i < kType.block_inputs; ++i) out.numbers[i] ^= 0x80;  // int8 plus 128
  }
  sub_scales<dtype>(block, out);
}

struct Codec {
  void (*decode)(const uint8_t* block, QuantBlock& out);
  void (*encode)(const QuantBlock& block, uint8_t* out);
};

template <size_t... row>
constexpr std::array<Codec, sizeof...(row)> codecs(std::index_sequence<row...>) {
  return {Codec{&decode<kQuantTraits[row].dtype>, &encode<kQuantTraits[row].dtype>}...};
}

constexpr auto kCodecs = codecs(std::make_index_sequence<kQuantTraits.size()>());

}  // namespace

size_t quant_index(DType dtype) {
  const QuantTraits* type = find_quant_traits(dtype);
  CHECK(type != nullptr, "not a quantised type");
  return static_cast<size_t>(type - kQuantTraits.data());
}

void decode_block(DType dtype, const uint8_t* block, QuantBlock& out) {
  kCodecs[quant_index(dtype)].decode(block, out);
}

void encode_block(DType dtype, const QuantBlock& block, uint8_t* out) {
  kCodecs[quant_index(dtype)].encode(block, out);
}

}  // namespace forerun
